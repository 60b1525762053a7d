package figure

import (
	"bytes"
	"flag"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

func read(t *testing.T, path ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// write draws the picture and returns the contents of its files.
func write(t *testing.T, p Picture) (svg, png []byte) {
	t.Helper()
	base := filepath.Join(t.TempDir(), "picture")
	if err := p.Write(t.Context(), base); err != nil {
		t.Fatal(err)
	}
	return read(t, base+".svg"), read(t, base+".png")
}

// golden compares a picture with testdata/<name>.svg and .png.
func golden(t *testing.T, name string, svg, png []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		os.WriteFile(path+".svg", svg, 0o666)
		os.WriteFile(path+".png", png, 0o666)
	}
	if diff := cmp.Diff(string(read(t, path+".svg")), string(svg)); diff != "" {
		t.Errorf("%s.svg has changed (look at it, then -update):\n%s", path, diff)
	}
	if d := pixelDifference(t, read(t, path+".png"), png); d > 0.001 {
		t.Errorf("%s.png has changed in %.2f%% of the pixels (look at it, then -update)", path,
			100*d)
	}
}

// pixelDifference is the fraction of pixels that differ visibly. The bytes of the files may differ,
// because another release of Go may compress differently.
func pixelDifference(t *testing.T, a, b []byte) float64 {
	t.Helper()
	x, errX := png.Decode(bytes.NewReader(a))
	y, errY := png.Decode(bytes.NewReader(b))
	if errX != nil || errY != nil {
		t.Fatal(errX, errY)
	}
	if x.Bounds() != y.Bounds() {
		return 1
	}
	size, n := x.Bounds().Size(), 0
	for i := range size.X {
		for j := range size.Y {
			p := color.GrayModel.Convert(x.At(i, j)).(color.Gray)
			q := color.GrayModel.Convert(y.At(i, j)).(color.Gray)
			if max(p.Y, q.Y)-min(p.Y, q.Y) > 16 {
				n++
			}
		}
	}
	return float64(n) / float64(size.X*size.Y)
}
