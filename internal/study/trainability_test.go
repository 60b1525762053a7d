package study

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	"momentum/internal/figure"
	"momentum/internal/imagerun"
)

// tried is a study and its trials: one that fits with both seeds, one that nearly does, one that
// diverges, and one that leaves zero training error again with a seed and never fits with another.
func tried(t *testing.T) (*Study, result) {
	t.Helper()
	s := one(0.1, 0.2)
	s.TrialSeeds, s.Protocols = 2, []Protocol{Effective}
	trials, err := s.trials(0, s.Rates)
	if err != nil {
		t.Fatal(err)
	}
	r := result{Cell: s.Cells[0], trials: trials, rates: s.Rates, tried: [][]imagerun.Outcome{
		{ended(0, 1, 0.3, 1, 0.5), ended(0, 1, 0.4, 1, 0.5, 0.5, 0.5)},
		{ended(0, 0.9996, 0.6, 1, 0.5)},
		{diverged()},
		{ended(0, 0.9, 0.2, 1, 1), ended(0, 0.9, 0.1, 1, 0.5)},
	}}
	s.label(&r, s.chooseAll(r))
	return s, r
}

// The trials as tables.
func TestTrialTables(t *testing.T) {
	s, r := tried(t)
	want := "|  | η | η_eff | schedule | λ | zero training error at epoch | " +
		"held-out accuracy, % |  |\n|---|---|---|---|---|---|---|---|\n" +
		"| GD | 0.1 | 0.1 | cosine | 0 | 1, 3 | 30.0, 40.0 | chosen |\n" +
		"| GD | 0.2 | 0.2 | cosine | 0 | never (99.9%) | 60.0 |  |\n" +
		"| GD+M | 0.01 | 0.1 | cosine | 0 | diverged at 1 |  |  |\n" +
		"| GD+M | 0.02 | 0.2 | cosine | 0 | 0, but 90.0% in the end, never (90.0%) | " +
		"20.0, 10.0 | chosen |\n"
	if got := s.trialsTable([]result{r}).Markdown(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}

	var csv bytes.Buffer
	if err := s.writeTrialsCSV(&csv, []result{r}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(csv.String()), "\n")
	for i, want := range map[int]string{
		1: "mini,64,weights,0,GD,0.1,0.1,cosine,0,1,false,1,1,100,30",
		2: "mini,64,weights,0,GD,0.1,0.1,cosine,0,2,false,3,3,100,40",
		4: "mini,64,weights,0,GD+M,0.01,0.1,cosine,0,1,true,1,1,,",
	} {
		if len(lines) != 7 || lines[i] != want {
			t.Errorf("line %d of %d is %s, want %s", i, len(lines), lines[i], want)
		}
	}
}

// The trials as a picture.
func TestTrainability(t *testing.T) {
	s, r := tried(t)
	picture := s.trainability([]result{r})
	if picture.Title != "mini, 64 images, ResNet-18, full batch: how fast the trials fit" {
		t.Errorf("the title is %q", picture.Title)
	}
	p := picture.Panels[0][0]
	rates := []float64{0.1, 0.2} // the curves break where not every seed fits
	if l := p.Lines[0]; l.Name != "GD" || !slices.Equal(l.X, rates) || l.Y[0] != 2 ||
		!math.IsNaN(l.Y[1]) {
		t.Errorf("the curve of GD is %+v, want 2 epochs at 0.1", l)
	}
	if l := p.Lines[1]; l.Name != "GD+M" || !slices.Equal(l.X, rates) || !math.IsNaN(l.Y[0]) ||
		!math.IsNaN(l.Y[1]) {
		t.Errorf("the curve of GD+M is %+v, want none: at 0.2 one of two seeds fits", l)
	}
	var points int
	for _, q := range p.Points {
		points += len(q.X)
	}
	if points != 6 || p.Points[1].Y[0] != float64(r.Base.Epochs) {
		t.Errorf("%d points, %+v; want one for each run, those that never fit at the top", points,
			p.Points)
	}
	if got := legend(picture); !slices.Equal(got, []string{"GD", "GD+M", "never fitted",
		"diverged"}) {
		t.Errorf("the legend has %q", got)
	}
	for _, tried := range r.tried {
		tried[0] = ended(0, 1, 0.3, 1, 0.5)
	}
	r.tried[3] = r.tried[3][:1]
	if got := legend(s.trainability([]result{r})); !slices.Equal(got, []string{"GD", "GD+M"}) {
		t.Errorf("where all runs fit, the legend has %q", got)
	}

	other := r
	other.Parameterization, other.Title = "pytorch", "other"
	other.Names[2] = "ResNet-18 with PyTorch's initialization"
	third := other
	third.Title = "third"
	picture = s.trainability([]result{r, other, third})
	if len(picture.Panels) != 2 || len(picture.Panels[0]) != 2 ||
		picture.Title != "mini, 64 images, full batch: how fast the trials fit" ||
		picture.Panels[0][0].Title != "ResNet-18" || picture.Panels[0][1].Title != other.Names[2] {
		t.Errorf("of three cells: %+v", picture)
	}
	r.Base.Batch = 16
	if p := s.trainability([]result{r}); len(p.Panels) != 0 {
		t.Errorf("mini-batches have %d rows of panels", len(p.Panels))
	}
}

// legend is what stands in the legend of the first panel.
func legend(p figure.Picture) (names []string) {
	for _, l := range p.Panels[0][0].Lines {
		names = append(names, l.Name)
	}
	for _, q := range p.Panels[0][0].Points {
		names = append(names, q.Name)
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}
