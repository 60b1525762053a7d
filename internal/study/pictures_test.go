package study

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"momentum/internal/figure"
	"momentum/internal/imagerun"
	"momentum/internal/rundir"
	"momentum/internal/runtest"
)

// Accuracy by batch size and by number of images: one point for each cell that differs in nothing
// else, the full batch at the number of images; and what momentum adds, paired by seed (by hand as
// in TestRows).
func TestAgainst(t *testing.T) {
	s := two()
	cell := func(change func(*result)) result {
		r := results(t, s)[0]
		r.Images = 40
		change(&r)
		return r
	}
	full := cell(func(*result) {})
	for _, tt := range []struct {
		property against
		small    result
		want     string
	}{
		{batches, cell(func(r *result) { r.Base.Batch, r.Base.Opt = 8, "sgd" }), "[8 40]"},
		{images, cell(func(r *result) { r.Images = 20 }), "[20 40]"},
	} {
		others := []result{cell(func(r *result) { r.Base.Width++ }),
			cell(func(r *result) { r.Parameterization = "he" })}
		pictures := s.against(append(others, full, tt.small), tt.property)
		if len(pictures) != 1 {
			t.Fatalf("%s: %d pictures, want 1: two cells have no partner", tt.property.name,
				len(pictures))
		}
		panels := pictures[0].Panels[0]
		gd, gain := panels[0].Lines[0], panels[1].Lines[0]
		if got := fmt.Sprintf("%.4g", [][]float64{gd.X, gd.Y, gd.Low, gd.High}); got !=
			"["+tt.want+" [72 72] [67.03 67.03] [76.97 76.97]]" {
			t.Errorf("%s: GD is %s; want 72 ± 4.97 at %s", tt.property.name, got, tt.want)
		}
		if got := fmt.Sprintf("%.4g", [][]float64{gain.X, gain.Y, gain.Low, gain.High}); got !=
			"["+tt.want+" [10 10] [7.516 7.516] [12.48 12.48]]" {
			t.Errorf("%s: momentum adds %s; want 10 ± 2.48 at %s", tt.property.name, got, tt.want)
		}
		name := map[string]string{"batch": "(S)GD", "images": "GD"}[tt.property.name]
		if gd.Name != name || strings.Contains(pictures[0].Note,
			"(S)GD is SGD on mini-batches") != (name == "(S)GD") {
			t.Errorf("%s: %s, and the note %q", tt.property.name, gd.Name, pictures[0].Note)
		}
		// The control with two seeds left, 76 ± 13, and the arms end at 100%.
		for _, l := range panels[0].Lines {
			if slices.Max(l.High) > 100 || slices.Min(l.Low) < 0 {
				t.Errorf("%s: a band from %v to %v", l.Name, l.Low, l.High)
			}
		}
		base := filepath.Join(t.TempDir(), tt.property.name)
		if err := pictures[0].Write(t.Context(), base); err != nil {
			t.Error(err)
		}
	}
}

// The axis of differences goes on below zero also where nothing lies there.
func TestAround(t *testing.T) {
	positive := figure.Line{Y: []float64{10}, Low: []float64{0}, High: []float64{20}}
	if y := around([]figure.Line{positive, {Y: []float64{0, 0}}}); y.Low != -1 || y.High != 21 {
		t.Errorf("differences from 0 to 20 have an axis from %g to %g", y.Low, y.High)
	}
	if y := around([]figure.Line{{Y: []float64{-10}}}); y.Low != -10.5 || y.High != 0.5 {
		t.Errorf("differences of −10 have an axis from %g to %g", y.Low, y.High)
	}
}

// The mean curve of seeds that end at different epochs goes on to the last end: those that ended
// keep their last value. One that diverged is left out, unless all did.
func TestHeld(t *testing.T) {
	short, long := ended(0.1, 1, 0.7, 1, 0.5), ended(0.3, 1, 0.8, 1, 0.4, 0.6, 0.9)
	loss := func(o imagerun.Outcome) (x, y []float64) { return o.Series("loss") }
	got := held([]imagerun.Outcome{short, long}, loss)
	if want := "[{[0 1 2 3] [2 0.1 0.1 0.1]} {[0 1 2 3] [2 1.5 1 0.3]}]"; fmt.Sprint(got) != want {
		t.Errorf("curves %v, want %s", got, want)
	}
	short.Diverged = true
	got = held([]imagerun.Outcome{short, long}, loss)
	if want := "[{[0 1 2 3] [2 1.5 1 0.3]}]"; fmt.Sprint(got) != want {
		t.Errorf("without the diverged seed %v, want %s", got, want)
	}
	if got := held([]imagerun.Outcome{short}, loss); len(got) != 1 || len(got[0].X) != 2 {
		t.Errorf("all seeds diverged, and a curve goes on, or is missing: %v", got)
	}
}

// The pictures can be drawn of what there is: with seeds and trials that diverged.
func TestPictures(t *testing.T) {
	s := two()
	r := results(t, s)[0]
	for name, p := range map[string]figure.Picture{"curves": s.curves(r),
		"trials": s.grid(r)} {
		base := filepath.Join(t.TempDir(), name)
		if err := p.Write(t.Context(), base); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The curves are at most two in a row, all accuracies on one axis. The control at the effective
// rate, where its runs are those of GD, is a name without a curve.
func TestCurves(t *testing.T) {
	s := two()
	r := results(t, s)[0]
	s.Measures = append(s.Measures, s.Measures[0], s.Measures[0])
	p := s.curves(r)
	if len(p.Panels) != 2 || len(p.Panels[0]) != 2 ||
		!reflect.DeepEqual(p.Panels[0][1].Y, p.Panels[1][1].Y) {
		t.Fatalf("rows of %d and %d panels", len(p.Panels[0]), len(p.Panels[1]))
	}
	exploded := diverged()
	exploded.Rows = append([]rundir.Row{{Values: []rundir.Value{{Name: "epoch", X: 0},
		{Name: "loss", X: 1e30}}}}, exploded.Rows...)
	r.Arms[sameRate].Outcomes[1] = exploded
	if y := s.curves(r).Panels[0][0].Y; y.High > 1e3 {
		t.Errorf("a run that diverges takes the axis of the loss up to %v", y.High)
	}
	control := func() figure.Line { return s.curves(r).Panels[0][0].Lines[sameRate-1] }
	if l := control(); l.Name != "GD at GD+M's η_eff" || len(l.X) == 0 {
		t.Errorf("the control is %+v", l)
	}
	for i := range r.Arms[plain].Outcomes {
		r.Arms[plain].Outcomes[i].Folder = fmt.Sprint(i)
	}
	r.Arms[sameRate].Outcomes = r.Arms[plain].Outcomes
	if l := control(); l.Name != "GD at GD+M's η_eff (= GD)" || len(l.X) > 0 {
		t.Errorf("the control with GD's runs is %+v", l)
	}
}

// The curve of an arm with a diverged seed is that of the others, as in the table, and the note
// says so. Only GD and GD+M have bands.
func TestCurvesWithoutDiverged(t *testing.T) {
	s := two()
	r := results(t, s)[0]
	p := s.curves(r)
	control := p.Panels[0][1].Lines[sameRate-1]
	if n := len(control.Y); control.X[n-1] != 2 || control.Y[n-1] != 76 {
		t.Errorf("the control is %v at %v, want the 76%% of the table at 2", control.Y, control.X)
	}
	for i, l := range p.Panels[0][0].Lines {
		if banded := l.Low != nil; banded != (i <= momentum) {
			t.Errorf("%s has a band: %v", l.Name, banded)
		}
	}
	for _, want := range []string{"and bands for GD and GD+M, their 95% t intervals",
		" GD at GD+M's η_eff: without 1 of 3 seeds, which diverged at epoch 1."} {
		if !strings.Contains(p.Note, want) {
			t.Errorf("the note %q does not say %q", p.Note, want)
		}
	}
	outcomes := []imagerun.Outcome{diverged(), diverged(), ended(0.1, 1, 0.7, 1)}
	for n, want := range map[int]string{2: " GD: all 2 seeds diverged, at epochs 1, 1.",
		3: " GD: without 2 of 3 seeds, which diverged at epochs 1, 1."} {
		if got := (arm{Legend: "GD", Outcomes: outcomes[:n]}).divergedNote(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// The names of all five arms are in one row of the legend: with short ones the picture is as high.
// The note says of which arm the control has the rate.
func TestOneLegendRow(t *testing.T) {
	for opt, batch := range map[string]int{"gd": 0, "sgd": 8} {
		s := two()
		s.Protocols = []Protocol{Effective, Eta}
		s.Cells[0].Base.Opt, s.Cells[0].Base.Batch = opt, batch
		r := results(t, s)[0]
		height := func(p figure.Picture) string {
			base := filepath.Join(t.TempDir(), "curves")
			if err := p.Write(t.Context(), base); err != nil {
				t.Fatal(err)
			}
			_, rest, _ := strings.Cut(runtest.Read(t, base+".svg"), ` height="`)
			value, _, _ := strings.Cut(rest, `"`)
			return value
		}
		p := s.curves(r)
		if n := len(p.Panels[0][0].Lines); n != 5 {
			t.Fatalf("%d arms, want 5", n)
		}
		name := strings.ToUpper(opt)
		if want := fmt.Sprintf("%[1]s at %[1]s+M's η_eff: that of %[1]s+M (grid of η_eff).",
			name); !strings.HasSuffix(p.Note, want) {
			t.Errorf("the note %q, want %q at its end", p.Note, want)
		}
		got := height(p)
		for _, panel := range p.Panels[0] {
			for i := range panel.Lines {
				panel.Lines[i].Name = fmt.Sprint(i)
			}
		}
		if want := height(p); got != want || got == "" {
			t.Errorf("%s: %s high, want %s as with short names", name, got, want)
		}
	}
}

// Of the trials of TestRows, the least rates were chosen, and triangles are there.
func TestGridNote(t *testing.T) {
	s := two()
	r := results(t, s)[0]
	p := s.grid(r)
	for _, panel := range p.Panels[0] {
		if len(panel.Marks) != 1 ||
			panel.Marks[0].Label != "chosen: 0.1 (least), constant, λ = 0.5" {
			t.Errorf("the marks are %+v", panel.Marks)
		}
	}
	const triangles, edge = "Triangles at the bottom", "Largest or least: of its grid of rates."
	if !strings.Contains(p.Note, triangles) || !strings.Contains(p.Note, edge) {
		t.Errorf("the note is %q", p.Note)
	}
	for _, tried := range r.tried {
		tried[0] = ended(0.1, 1, 0.5, 1)
	}
	for i := range r.Arms[:chosen] {
		if r.Arms[i].exists() {
			r.Arms[i].choices[0].edge = 0
		}
	}
	p = s.grid(r)
	if strings.Contains(p.Note, triangles) || strings.Contains(p.Note, edge) ||
		strings.Contains(p.Panels[0][0].Marks[0].Label, "(") {
		t.Errorf("the note is %q, and the marks %+v", p.Note, p.Panels[0][0].Marks)
	}
}

// In the trials of TestRows, the last setting of either algorithm diverged: a triangle within the
// panel, and a gap in its curve. The axis is where the others are: GD from 0% on, GD+M up to 14%.
func TestDivergedTrial(t *testing.T) {
	s := two()
	panel := s.grid(results(t, s)[0]).Panels[0][0]
	triangles := panel.Points[len(panel.Points)-1]
	if triangles.Name != "diverged" || fmt.Sprint(triangles.X) != "[0.2]" ||
		triangles.Y[0] <= panel.Y.Low || triangles.Y[0] >= 0 {
		t.Errorf("%+v on %+v", triangles, panel.Y)
	}
	last := panel.Lines[len(panel.Lines)-1]
	if fmt.Sprintf("%.3g", last.Y) != "[6 NaN]" || panel.Y.High < 14 || panel.Y.High > 20 {
		t.Errorf("%v up to %g; want 6 and a gap, up to a little above 14", last.Y, panel.Y.High)
	}
}
