package figure

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"path/filepath"
	"strings"
	"testing"
)

// One pixel of a tile becomes a square of 128 divided by the tile's pixels, below the names.
func TestTiles(t *testing.T) {
	tile := image.NewRGBA(image.Rect(0, 0, 2, 2))
	for i := range 4 {
		tile.Set(i/2, i%2, color.Black)
	}
	tile.Set(1, 0, color.RGBA{R: 200, A: 255})
	tiles := Tiles{Title: "a title", Columns: []string{"cat", "dog"},
		Rows: []TileRow{{Name: "original", Images: []image.Image{tile, tile}}}}
	path := filepath.Join(t.TempDir(), "tiles.png")
	if err := tiles.Write(path); err != nil {
		t.Fatal(err)
	}
	picture, err := png.Decode(bytes.NewReader(read(t, path)))
	if err != nil {
		t.Fatal(err)
	}
	red := 0
	for y := range picture.Bounds().Dy() {
		for x := range picture.Bounds().Dx() {
			if picture.At(x, y) == (color.RGBA{R: 200, A: 255}) {
				red++
			}
		}
	}
	if red != 2*64*64 {
		t.Errorf("%d red pixels, want 2·64·64: a quarter of each tile", red)
	}
	height := picture.Bounds().Dy()
	tiles.Rows[0].Captions = [][]Caption{{{Text: "cat"}, {Text: "dog 9%", Marked: true}}, nil}
	if err := tiles.Write(path); err != nil {
		t.Fatal(err)
	}
	if picture, err = png.Decode(bytes.NewReader(read(t, path))); err != nil {
		t.Fatal(err)
	}
	if got := picture.Bounds().Dy(); got-height != 2*captionLine+captionGap {
		t.Errorf("two lines make the picture %d pixels higher, want %d", got-height,
			2*captionLine+captionGap)
	}
	tiles.Rows[0].Images = tiles.Rows[0].Images[:1]
	if err := tiles.Write(path); err == nil || !strings.Contains(err.Error(),
		`1 images in the row "original", want one for each of the 2 columns`) {
		t.Error(err)
	}
}
