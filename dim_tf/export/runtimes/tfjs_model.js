// Loads a TF.js graph model from a folder, in Node with the WebAssembly backend.
//
//     node tfjs_model.js MODEL_FOLDER IMAGES OUTPUTS N H W C
//
// IMAGES: float32 [N, H, W, C], little-endian. Writes OUTPUTS.json, {name: shape}, and
// OUTPUTS.NAME.bin, float32, of each output. The packages are found as Node finds them, by
// NODE_PATH too.
'use strict';

const fs = require('fs');
const path = require('path');

const tf = require('@tensorflow/tfjs-core');
const {loadGraphModel} = require('@tensorflow/tfjs-converter');
const wasm = require('@tensorflow/tfjs-backend-wasm');

function artifacts(folder) {
  const model = JSON.parse(fs.readFileSync(path.join(folder, 'model.json'), 'utf8'));
  const files = model.weightsManifest.flatMap((group) => group.paths);
  const weights = Buffer.concat(files.map((file) => fs.readFileSync(path.join(folder, file))));
  return {
    modelTopology: model.modelTopology,
    format: model.format,
    signature: model.signature,
    weightSpecs: model.weightsManifest.flatMap((group) => group.weights),
    weightData: weights.buffer.slice(weights.byteOffset, weights.byteOffset + weights.length),
  };
}

// Returns (images: tensor [N, H, W, C]) -> {name: tensor}.
async function load(folder) {
  const packageFile = require.resolve('@tensorflow/tfjs-backend-wasm/package.json');
  wasm.setWasmPaths(path.join(path.dirname(packageFile), 'dist') + path.sep);
  if (!await tf.setBackend('wasm')) {
    throw new Error('the WebAssembly backend does not start');
  }
  const content = artifacts(folder);
  const model = await loadGraphModel({load: async () => content});
  const names = Object.keys(content.signature.outputs);
  const nodes = names.map((name) => content.signature.outputs[name].name);
  const input = content.signature.inputs.images.name;
  return (images) => {
    const outputs = [model.execute({[input]: images}, nodes)].flat();
    return Object.fromEntries(names.map((name, i) => [name, outputs[i]]));
  };
}

async function main([folder, imagesFile, outputsFile, ...sizes]) {
  const bytes = fs.readFileSync(imagesFile);
  const values = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  const model = await load(folder);
  const outputs = model(tf.tensor(values, sizes.map(Number)));
  const shapes = {};
  for (const [name, tensor] of Object.entries(outputs)) {
    shapes[name] = tensor.shape;
    const {buffer, byteOffset, byteLength} = await tensor.data();
    fs.writeFileSync(`${outputsFile}.${name}.bin`, Buffer.from(buffer, byteOffset, byteLength));
  }
  fs.writeFileSync(`${outputsFile}.json`, JSON.stringify(shapes));
}

module.exports = {load, tf};

if (require.main === module) {
  main(process.argv.slice(2)).catch((error) => {
    console.error(`error: ${error.message}`);
    process.exit(1);
  });
}
