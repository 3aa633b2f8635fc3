"""Reads TFLite Metadata field by field, by the places in the schema."""

from flatbuffers import encode, number_types, packer, table
from tensorflow.lite.python import schema_py_generated as schema

from dim_tf.export import tflite_metadata


class Fields:
    """A flatbuffer's table, read field by field by the schema's places."""

    def __init__(self, data, position):
        self.table = table.Table(data, position)

    @classmethod
    def root(cls, data):
        return cls(data, encode.Get(packer.uoffset, data, 0))

    def place(self, field):
        return self.table.Offset(4 + 2 * field)

    def number(self, field, flags):
        return self.table.Get(flags, self.table.Pos + self.place(field))

    def text(self, field):
        return self.table.String(self.table.Pos + self.place(field)).decode()

    def inner(self, field):
        return Fields(self.table.Bytes, self.table.Indirect(self.table.Pos + self.place(field)))

    def only(self, field):
        """The one table of a vector."""
        assert self.table.VectorLen(self.place(field)) == 1
        return Fields(self.table.Bytes, self.table.Indirect(self.table.Vector(self.place(field))))

    def floats(self, field):
        first, count = self.table.Vector(self.place(field)), self.table.VectorLen(self.place(field))
        flags = number_types.Float32Flags
        return [self.table.Get(flags, first + 4 * n) for n in range(count)]


def metadata_of(model):
    """The metadata entries of a TFLite model by their names, and the bytes of TFLite Metadata."""
    read = schema.Model.GetRootAs(model, 0)
    entries = {
        read.Metadata(n).Name().decode(): read.Metadata(n) for n in range(read.MetadataLength())
    }
    if tflite_metadata.BUFFER not in entries:
        return entries, b""
    buffer = read.Buffers(entries[tflite_metadata.BUFFER].Buffer()).DataAsNumpy()
    return entries, bytearray(buffer.tobytes())
