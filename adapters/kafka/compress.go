package kafka

import (
	"bytes"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

// compressor returns the compressor of a name; nil for "none".
func compressor(name string) (kgo.Compressor, error) {
	codecs := map[string]kgo.CompressionCodec{
		"gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	if name == "none" {
		return nil, nil
	}
	codec, ok := codecs[name]
	if !ok {
		return nil, fmt.Errorf("compression=%s: want none, gzip, snappy, lz4 or zstd", name)
	}
	return kgo.DefaultCompressor(codec)
}

// compressIfSmaller compresses body, or returns body itself if that would not make it smaller.
func compressIfSmaller(c kgo.Compressor, body []byte) ([]byte, kgo.CompressionCodecType) {
	squeezed, codec := c.Compress(new(bytes.Buffer), body)
	if len(squeezed) >= len(body) {
		return body, kgo.CodecNone
	}
	return squeezed, codec
}
