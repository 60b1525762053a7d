package main

import (
	"bytes"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"momentum/datasets"
)

// The embedded set is what this program draws from the full data.
func TestEmbeddedSetIsTheDraw(t *testing.T) {
	dir := os.Getenv("MOMENTUM_CIFAR")
	if dir == "" {
		t.Skip("needs the full data: set MOMENTUM_CIFAR to a folder that holds " +
			"cifar-10-batches-bin")
	}
	train, test, err := datasets.Load(t.Context(), "cifar10",
		datasets.Options{Dir: dir, Offline: true})
	if err != nil {
		t.Fatal(err)
	}
	miniTrain, miniTest, err := datasets.Load(t.Context(), "cifar10-mini", datasets.Options{})
	if err != nil {
		t.Fatal(err)
	}
	drawnTrain, drawnTest := draw(train, test)
	for name, pair := range map[string][2]*datasets.Images{
		"train": {drawnTrain, miniTrain}, "test": {drawnTest, miniTest},
	} {
		if !bytes.Equal(pair[0].Pixels, pair[1].Pixels) ||
			!bytes.Equal(pair[0].Labels, pair[1].Labels) {
			t.Errorf("%s: the embedded images are not those drawn", name)
		}
	}
}

// Drawing from the embedded set gives all of it, in the same order.
func TestDraw(t *testing.T) {
	train, test, err := datasets.Load(t.Context(), "cifar10-mini", datasets.Options{})
	if err != nil {
		t.Fatal(err)
	}
	again, other := draw(train, test)
	if !bytes.Equal(again.Pixels, train.Pixels) || !bytes.Equal(other.Pixels, test.Pixels) {
		t.Error("drawing 100 of 100 does not give the set in the order of its keys")
	}
}

// Writing the first row of the embedded set gives that of the committed files: the same labels, and
// the same pixels, however this Go version compresses them.
func TestWrite(t *testing.T) {
	train, _, err := datasets.Load(t.Context(), "cifar10-mini", datasets.Options{})
	if err != nil {
		t.Fatal(err)
	}
	base := filepath.Join(t.TempDir(), "train")
	if err := write(base, train.Slice(0, columns)); err != nil {
		t.Fatal(err)
	}
	got, want := read(t, base), read(t, "../../mini/train")
	if len(got.pixels) != columns*32*32*4 || !bytes.HasPrefix(want.pixels, got.pixels) {
		t.Error("pixels differ")
	}
	if strings.Count(got.labels, "\n") != 1 || !strings.HasPrefix(want.labels, got.labels) {
		t.Errorf("labels differ: %q", got.labels)
	}
}

type files struct {
	pixels []byte
	labels string
}

func read(t *testing.T, base string) files {
	t.Helper()
	mosaic, err := os.ReadFile(base + ".png")
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := png.Decode(bytes.NewReader(mosaic))
	if err != nil {
		t.Fatal(err)
	}
	labels, err := os.ReadFile(base + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	return files{decoded.(*image.RGBA).Pix, string(labels)}
}
