package figure

import (
	"image/color"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	xfont "golang.org/x/image/font"
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

func bold(style text.Style) text.Style {
	style.Font.Weight = xfont.WeightBold
	return style
}

// fit reduces the font size until the text is no wider than the room.
func fit(style text.Style, s string, room vg.Length) text.Style {
	if w := style.Width(s); w > room {
		style.Font.Size *= room / w
	}
	return style
}

// scripts is a text handler that draws Unicode superscripts and subscripts as small digits and
// letters, because the font has few of these characters and spaces them too widely. It also draws
// the eff of η_eff as an index, and grad for ∇.
type scripts struct{ text.Handler }

const (
	superscripts, superLetters = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ᵀⁿ", "0123456789+−Tn"
	subscripts, subLetters     = "₀₁₂₃₄₅₆₇₈₉₊₋ᵢⱼₖᵣₜ", "0123456789+−ijkrt"

	effIndex = "_eff" // after an η
)

// translate returns the character of the alphabet "to" at the index that r has in "from", and
// whether it has one.
func translate(r rune, from, to string) (rune, bool) {
	i := slices.Index([]rune(from), r)
	if i < 0 {
		return r, false
	}
	return []rune(to)[i], true
}

// superscript is the number in superscript characters.
func superscript(e int) string {
	minus := strings.ReplaceAll(strconv.Itoa(e), "-", "−")
	return strings.Map(func(r rune) rune {
		raised, _ := translate(r, superLetters, superscripts)
		return raised
	}, minus)
}

// piece is a part of a text in one size and at one height, both as fractions of the font size.
type piece struct {
	text        string
	size, raise vg.Length
}

// split cuts the text where the height changes.
func split(s string) []piece {
	var all []piece
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		p := piece{string(r), 1, 0}
		if strings.HasPrefix(s[i:], effIndex) && strings.HasSuffix(s[:i], "η") {
			p, size = piece{strings.TrimPrefix(effIndex, "_"), 0.75, -0.15}, len(effIndex)
		} else if r == '∇' {
			p.text = "grad "
		} else if letter, ok := translate(r, superscripts, superLetters); ok {
			p = piece{string(letter), 0.75, 0.48}
		} else if letter, ok := translate(r, subscripts, subLetters); ok {
			p = piece{string(letter), 0.75, -0.15}
		}
		if n := len(all); n > 0 && all[n-1].raise == p.raise {
			all[n-1].text += p.text
		} else {
			all = append(all, p)
		}
		i += size
	}
	return all
}

// Box implements text.Handler.
func (h scripts) Box(txt string, f font.Font) (width, height, depth vg.Length) {
	_, height, depth = h.Handler.Box(txt, f)
	for _, p := range split(txt) {
		scaled := f
		scaled.Size *= p.size
		w, _, _ := h.Handler.Box(p.text, scaled)
		width += w
	}
	return width, height, depth
}

// Draw implements text.Handler.
func (h scripts) Draw(c vg.Canvas, txt string, style text.Style, position vg.Point) {
	pieces := split(txt)
	if len(pieces) == 1 && pieces[0].raise == 0 {
		h.Handler.Draw(c, pieces[0].text, style, position)
		return
	}
	if style.Rotation != 0 {
		c.Push()
		defer c.Pop()
		c.Rotate(style.Rotation)
		sine, cosine := math.Sincos(style.Rotation)
		sin, cos := vg.Length(sine), vg.Length(cosine)
		position = vg.Point{X: position.Y*sin + position.X*cos, Y: position.Y*cos - position.X*sin}
		style.Rotation = 0
	}
	// offset is the height of the handler's base line above the position.
	offset := func(s text.Style) vg.Length {
		return vg.Length(s.YAlign)*s.Height(txt) - s.FontExtents().Ascent + s.Font.Size
	}
	base := position.Add(vg.Point{X: vg.Length(style.XAlign) * style.Width(txt), Y: offset(style)})
	style.XAlign, style.YAlign = draw.XLeft, draw.YBottom
	for _, p := range pieces {
		s := style
		s.Font.Size *= p.size
		h.Handler.Draw(c, p.text, s, vg.Point{X: base.X,
			Y: base.Y + p.raise*style.Font.Size - offset(s)})
		base.X += s.Width(p.text)
	}
}
