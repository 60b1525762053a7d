package figure

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"math"
	"testing"

	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Each text of an SVG has the width of Liberation Sans, whatever the reader's font is, and keeps
// the space before it.
func TestTextLength(t *testing.T) {
	canvas := &svgCanvas{Canvas: vgsvg.New(200, 50)}
	style := textStyle(8, draw.XLeft, draw.YTop)
	canvas.FillString(face(8), vg.Point{}, "GD < GD+M")
	style.Handler.Draw(canvas, "η_eff = 1", style, vg.Point{})
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	var svg struct {
		Font  string `xml:"font-family,attr"`
		Texts []struct {
			Text   string  `xml:",chardata"`
			Length float64 `xml:"textLength,attr"`
			Adjust string  `xml:"lengthAdjust,attr"`
			Space  string  `xml:"http://www.w3.org/XML/1998/namespace space,attr"`
		} `xml:"g>text"`
	}
	if err := xml.Unmarshal(b.Bytes(), &svg); err != nil {
		t.Fatal(err)
	}
	if want := "Liberation Sans, Arial, Helvetica, sans-serif"; svg.Font != want {
		t.Errorf("font %q, want %q", svg.Font, want)
	}
	want := []struct {
		text string
		size vg.Length
	}{{"GD < GD+M", 8}, {"η", 8}, {"eff", 6}, {" = 1", 8}}
	if len(svg.Texts) != len(want) {
		t.Fatalf("%d texts, want %d", len(svg.Texts), len(want))
	}
	for i, got := range svg.Texts {
		width := float64(textStyle(want[i].size, 0, 0).Width(want[i].text))
		if got.Text != want[i].text || math.Abs(got.Length-width) > 1e-3 ||
			got.Adjust != "spacingAndGlyphs" || got.Space != "preserve" {
			t.Errorf("text %+v, want %q with length %.5g", got, want[i].text, width)
		}
	}
}

// face is Liberation Sans in a size.
func face(size vg.Length) font.Face {
	style := textStyle(size, draw.XLeft, draw.YTop)
	return style.Handler.Cache().Lookup(style.Font, size)
}

// A text of a PNG is as wide as the font says, also where its letters are moved together.
func TestTextWidthInPixels(t *testing.T) {
	for _, s := range []string{"AVAVAVAVAVAVAVAV AT To", "means and intervals. A seed that ended"} {
		canvas := vgimg.NewWith(vgimg.UseWH(300, 20), vgimg.UseDPI(dpi))
		pngCanvas{canvas}.FillString(face(7.5), vg.Point{X: 10, Y: 5}, s)
		picture := canvas.Image()
		left, right := math.MaxInt, 0
		for x := range picture.Bounds().Dx() {
			for y := range picture.Bounds().Dy() {
				if r, _, _, _ := picture.At(x, y).RGBA(); r < 0x8000 {
					left, right = min(left, x), max(right, x)
				}
			}
		}
		got, want := right-left+1, textStyle(7.5, 0, 0).Width(s).Dots(dpi)
		if math.Abs(float64(got)-want) > 4 { // the space beside the first and the last letter
			t.Errorf("%s: %d pixels wide, want %.1f", s, got, want)
		}
	}
}

// A line of the note is not broken around a sign, nor at a no-break space.
func TestWrap(t *testing.T) {
	style := textStyle(noteSize, draw.XLeft, draw.YTop)
	room := style.Width("for each, α =")
	for s, want := range map[string]string{
		"for each, α = 5.29, x":    `["for each," "α = 5.29, x"]`,
		"for each, λ ≤ 1 × 2\n\nz": `["for each," "λ ≤ 1 × 2" "" "z"]`,
		"for each a\u00a0b\u00a0c": `["for each" "a b c"]`,
		"":                         "[]",
	} {
		if got := fmt.Sprintf("%q", wrap(style, s, room)); got != want {
			t.Errorf("%q is broken into %s, want %s", s, got, want)
		}
	}
}
