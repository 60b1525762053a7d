// Package seeds splits one user-visible seed into independent random streams, one per purpose, so
// that drawing more numbers for one purpose never changes another: GD and GD+M with one seed start
// from the same weights and see the same order of images.
package seeds

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
)

// Stream returns the stream of a seed for a purpose, such as "init" or "order". The same pair gives
// the same numbers on every machine and backend: the key of the ChaCha8 generator is SHA-256(seed
// as 8 little-endian bytes, purpose).
func Stream(seed uint64, purpose string) *rand.Rand {
	key := binary.LittleEndian.AppendUint64(nil, seed)
	return rand.New(rand.NewChaCha8(sha256.Sum256(append(key, purpose...))))
}
