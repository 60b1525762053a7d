package main

import (
	"fmt"
	"image"
	_ "image/jpeg" // as a format of -image
	_ "image/png"  // as a format of -image
	"os"

	"golang.org/x/image/draw"

	"momentum/datasets"
)

// mostSide is the largest height and width of a picture.
const mostSide = 10_000

// readImage reads a picture as pixels [32, 32, 3]. Of one of another size it scales the middle
// square, and says so in a note. What is transparent becomes white.
func readImage(path string) (pixels []uint8, note string, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, "", fmt.Errorf("-image: %w", err)
	}
	defer file.Close()
	// The size comes first, because Decode allocates whatever size the file claims.
	c, _, err := image.DecodeConfig(file)
	if err == nil && (c.Width < 1 || c.Height < 1 || max(c.Width, c.Height) > mostSide) {
		err = fmt.Errorf("%d×%d pixels, want at least 1 and at most %d a side", c.Width, c.Height,
			mostSide)
	}
	var decoded image.Image
	if err == nil {
		if _, err = file.Seek(0, 0); err == nil {
			decoded, _, err = image.Decode(file)
		}
	}
	if err != nil {
		return nil, "", fmt.Errorf("-image: %s: %w (want a PNG or a JPEG)", path, err)
	}
	square := decoded.Bounds()
	side := min(square.Dx(), square.Dy())
	square.Min = square.Min.Add(image.Pt((square.Dx()-side)/2, (square.Dy()-side)/2))
	square.Max = square.Min.Add(image.Pt(side, side))
	if square.Dx() != datasets.Side || decoded.Bounds() != square {
		note = fmt.Sprintf(": %d×%d pixels, of which the middle square was scaled to 32×32",
			c.Width, c.Height)
	}
	m := image.NewRGBA(image.Rect(0, 0, datasets.Side, datasets.Side))
	draw.Draw(m, m.Bounds(), image.White, image.Point{}, draw.Src)
	draw.CatmullRom.Scale(m, m.Bounds(), decoded, square, draw.Over, nil)
	for k := range datasets.Side * datasets.Side {
		pixels = append(pixels, m.Pix[4*k:4*k+3]...)
	}
	return pixels, note, nil
}
