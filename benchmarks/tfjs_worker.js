// A worker of benchmarks/runtimes.py: a TF.js graph model in Node, with the WebAssembly backend.
//
//     node tfjs_worker.js LOADER MODEL_FOLDER SECONDS H W C
//
// LOADER is dim_tf/export/runtimes/tfjs_model.js. Speaks as benchmarks/interleaved.py's `serve`: a
// line of facts when it is ready; for each line that it reads, a batch size, the seconds of a call,
// which it repeats for SECONDS.
'use strict';

const readline = require('readline');

const [loader, folder, atLeast, ...size] = process.argv.slice(2);
const {load, tf} = require(loader);

async function main() {
  const model = await load(folder);
  const inputs = new Map();
  const call = (batch) => tf.tidy(() => {
    if (!inputs.has(batch)) {
      inputs.set(batch, tf.keep(tf.randomUniform([batch, ...size.map(Number)], 0, 1)));
    }
    for (const output of Object.values(model(inputs.get(batch)))) {
      output.dataSync();
    }
  });
  console.log(JSON.stringify({backend: tf.getBackend(), node: process.version}));
  for await (const line of readline.createInterface({input: process.stdin})) {
    const batch = Number(line);
    const began = process.hrtime.bigint();
    let calls = 0;
    let seconds = 0;
    do {
      call(batch);
      calls += 1;
      seconds = Number(process.hrtime.bigint() - began) / 1e9;
    } while (seconds < Number(atLeast));
    console.log(JSON.stringify(seconds / calls));
  }
}

main();
