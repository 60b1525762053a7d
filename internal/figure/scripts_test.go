package figure

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/image/font/sfnt"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
)

// The font has every character that the comment of Picture promises.
func TestCharacters(t *testing.T) {
	style := textStyle(9, 0, 0)
	f := style.Handler.Cache().Lookup(style.Font, 9).Face
	var b sfnt.Buffer
	has := func(r rune) bool {
		i, err := f.GlyphIndex(&b, r)
		return err == nil && i != 0
	}
	for _, p := range split("αβγδεηθλμνξπρστφψωΓΔΘΛΞΠΣΦΨΩℓ∂∑√∞‖×·±−≤≥≈≠→–…′∇" + superscripts +
		subscripts) {
		for _, r := range p.text {
			if !has(r) {
				t.Errorf("no %c in %s", r, style.Font.Name())
			}
		}
	}
	for _, r := range "⟨⟩∈∝≫𝒢" {
		if has(r) {
			t.Errorf("%c is there: the comment of Picture says that it is not", r)
		}
	}
}

// A text is cut where the height changes, and small letters are narrower.
func TestSplit(t *testing.T) {
	got := split("aσ₀²b⁻¹ᵀ of η_eff, not x_eff, ‖∇L‖")
	want := []piece{{"aσ", 1, 0}, {"0", 0.75, -0.15}, {"2", 0.75, 0.48}, {"b", 1, 0},
		{"−1T", 0.75, 0.48}, {" of η", 1, 0}, {"eff", 0.75, -0.15}, {", not x_eff, ‖grad L‖", 1, 0}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(piece{})); diff != "" {
		t.Error(diff)
	}
	style := textStyle(8, 0, 0)
	if got, want := style.Width("a²"), style.Width("a")+style.Width("2")*0.75; math.Abs(
		float64(got-want)) > 1e-9 {
		t.Errorf("width %g, want %g", got, want)
	}
}

// recorder keeps the texts that are drawn.
type recorder struct {
	text.Handler
	drawn *[]string
}

func (r recorder) Draw(_ vg.Canvas, txt string, _ text.Style, _ vg.Point) {
	*r.drawn = append(*r.drawn, txt)
}

// A text of one height is drawn with its replacements, too.
func TestOneHeight(t *testing.T) {
	var drawn []string
	scripts{recorder{plot.DefaultTextHandler, &drawn}}.Draw(nil, "‖∇L‖ ≤ 1", textStyle(8, 0, 0),
		vg.Point{})
	if want := []string{"‖grad L‖ ≤ 1"}; !slices.Equal(drawn, want) {
		t.Errorf("drawn %q, want %q", drawn, want)
	}
}
