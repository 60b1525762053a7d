package figure

import (
	"image/color"
	"math"
	"strings"
	"unicode/utf8"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

func textStyle(size vg.Length, x draw.XAlignment, y draw.YAlignment) text.Style {
	return text.Style{
		Color: color.Black, XAlign: x, YAlign: y, Handler: scripts{plot.DefaultTextHandler},
		Font: font.Font{Typeface: "Liberation", Variant: "Sans", Size: size},
	}
}

// fit makes the letters smaller until the text needs no more than the room.
func fit(style text.Style, s string, room vg.Length) text.Style {
	if w := style.Width(s); w > room {
		style.Font.Size *= room / w
	}
	return style
}

// scripts writes the characters of Unicode for exponents and indices as small
// digits and letters, because the font has few of them, and these far apart.
type scripts struct{ text.Handler }

const (
	superscripts, superLetters = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ᵀⁿ", "0123456789+−Tn"
	subscripts, subLetters     = "₀₁₂₃₄₅₆₇₈₉₊₋ᵢⱼₖᵣₜ", "0123456789+−ijkrt"
)

// piece is a part of a text in one size and at one height, both in shares of
// the font's size.
type piece struct {
	text        string
	size, raise vg.Length
}

// split cuts the text where the height changes.
func split(s string) []piece {
	var all []piece
	for _, r := range s {
		p := piece{string(r), 1, 0}
		if i := strings.IndexRune(superscripts, r); i >= 0 {
			p = piece{letter(superLetters, superscripts[:i]), 0.75, 0.48}
		} else if i := strings.IndexRune(subscripts, r); i >= 0 {
			p = piece{letter(subLetters, subscripts[:i]), 0.75, -0.15}
		}
		if n := len(all); n > 0 && all[n-1].raise == p.raise {
			all[n-1].text += p.text
		} else {
			all = append(all, p)
		}
	}
	return all
}

// letter is the one of letters that has as many before it as there are in before.
func letter(letters, before string) string {
	return string([]rune(letters)[utf8.RuneCountInString(before)])
}

// Box implements text.Handler.
func (h scripts) Box(txt string, f font.Font) (width, height, depth vg.Length) {
	_, height, depth = h.Handler.Box(txt, f)
	for _, p := range split(txt) {
		small := f
		small.Size *= p.size
		w, _, _ := h.Handler.Box(p.text, small)
		width += w
	}
	return width, height, depth
}

// Draw implements text.Handler.
func (h scripts) Draw(c vg.Canvas, txt string, style text.Style, at vg.Point) {
	pieces := split(txt)
	if len(pieces) == 1 && pieces[0].raise == 0 {
		h.Handler.Draw(c, txt, style, at)
		return
	}
	if style.Rotation != 0 {
		c.Push()
		defer c.Pop()
		c.Rotate(style.Rotation)
		sin, cos := math.Sincos(style.Rotation)
		at.X, at.Y = at.Y*vg.Length(sin)+at.X*vg.Length(cos),
			at.Y*vg.Length(cos)-at.X*vg.Length(sin)
		style.Rotation = 0
	}
	// above is how far the handler puts the base line above the point.
	above := func(s text.Style) vg.Length {
		return vg.Length(s.YAlign)*s.Height(txt) - s.FontExtents().Ascent + s.Font.Size
	}
	base := vg.Point{X: at.X + vg.Length(style.XAlign)*style.Width(txt), Y: at.Y + above(style)}
	style.XAlign, style.YAlign = draw.XLeft, draw.YBottom
	for _, p := range pieces {
		s := style
		s.Font.Size *= p.size
		h.Handler.Draw(c, p.text, s, vg.Point{X: base.X, Y: base.Y + p.raise*style.Font.Size -
			above(s)})
		base.X += s.Width(p.text)
	}
}
