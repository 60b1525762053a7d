package seeds

import (
	"crypto/sha256"
	"math/rand/v2"
	"testing"
)

func TestStream(t *testing.T) {
	// The key, written by hand, is seed 1 in 8 little-endian bytes and then the purpose.
	want := rand.New(rand.NewChaCha8(sha256.Sum256([]byte("\x01\x00\x00\x00\x00\x00\x00\x00init"))))
	got := Stream(1, "init")
	for i := range 10 {
		if g, w := got.Uint64(), want.Uint64(); g != w {
			t.Fatalf("draw %d: %d, want %d", i, g, w)
		}
	}
}

func TestStreamsDiffer(t *testing.T) {
	first := map[uint64]string{}
	for _, s := range []struct {
		seed    uint64
		purpose string
	}{{1, "init"}, {1, "order"}, {2, "init"}, {1 << 32, "init"}} {
		x := Stream(s.seed, s.purpose).Uint64()
		if other, found := first[x]; found {
			t.Errorf("seed %d, %q starts as %s does", s.seed, s.purpose, other)
		}
		first[x] = s.purpose
	}
}
