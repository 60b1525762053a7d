// Package seeds splits one seed of the user into independent random streams, one per purpose, so
// that drawing more numbers for one purpose does not change those for another. GD and GD+M with the
// same seed start from the same weights and see the images in the same order.
package seeds

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
)

// Stream returns the stream of a seed for a purpose, such as "init" or "order". Seed and purpose
// determine its numbers on every machine and backend: they come from the generator ChaCha8, whose
// key is SHA-256(seed as 8 little-endian bytes, purpose).
func Stream(seed uint64, purpose string) *rand.Rand {
	key := binary.LittleEndian.AppendUint64(nil, seed)
	return rand.New(rand.NewChaCha8(sha256.Sum256(append(key, purpose...))))
}
