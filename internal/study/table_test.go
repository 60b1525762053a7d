package study

import (
	"flag"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"momentum/internal/imagerun"
	"momentum/internal/stats"
)

var update = flag.Bool("update", false, "write the golden files anew")

// three results by hand: GD ends at 70, 72 and 74 %, GD+M at 80, 81 and 85; one seed of the control
// diverged.
func results(t *testing.T, s *Study) []result {
	t.Helper()
	trials, err := s.trials(0, s.Rates)
	if err != nil {
		t.Fatal(err)
	}
	r := result{Cell: s.Cells[0], trials: trials, rates: s.Rates}
	for i := range trials {
		o := ended(0.1, 1, float64(i)/100, 1)
		if i == 7 || i == 15 {
			o = diverged()
		}
		r.tried = append(r.tried, []imagerun.Outcome{o})
	}
	best := s.chooseAll(r)
	finals, err := s.final(0, best)
	if err != nil {
		t.Fatal(err)
	}
	all := [arms][]imagerun.Outcome{
		plain: {ended(0.1, 1, 0.70, 1, 0.5, 1), ended(0.2, 1, 0.72, 1, 0.5, 0.6),
			ended(0.1, 1, 0.74, 1, 0.5, 0.6)},
		momentum: {ended(0.05, 1, 0.80, 1, 0.5, 1), ended(0.05, 1, 0.81, 1, 1),
			ended(0.3, 0.95, 0.85, 1, 0.5, 0.6)},
		sameRate: {ended(0.1, 1, 0.75, 1, 0.5, 1), diverged(), ended(0.5, 1, 0.77, 1, 0.5, 0.6)},
		longer: {ended(0.1, 1, 0.71, 1, 0.5, 1), ended(0.1, 1, 0.73, 1, 0.5, 0.6),
			ended(0.1, 1, 0.75, 1, 0.5, 0.6)},
	}
	if len(finals[etaGrid]) > 0 { // 69, 71 and 74 %
		all[etaGrid] = []imagerun.Outcome{ended(0.1, 1, 0.69, 1), ended(0.1, 1, 0.71, 1),
			ended(0.1, 1, 0.74, 1)}
	}
	for i, outcomes := range all {
		if len(outcomes) > 0 {
			r.Arms[i].Config, r.Arms[i].Outcomes = finals[i][0], outcomes
		}
	}
	s.label(&r, best)
	return []result{r}
}

// What is in the tables, by hand: means and intervals (t₂ = 4.303: 72 ± 4.303·2/√3 = 5.0;
// differences 10, 9, 11: 10 ± 2.5), the equal loss of 0.2, which the seed that has not fitted does
// not reach.
func TestRows(t *testing.T) {
	s := two()
	rows := s.rows(results(t, s))
	if len(rows) != 4 {
		t.Fatalf("%d rows, want 4 arms of one measure", len(rows))
	}
	near := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 0.006 {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}
	gd, gdm, same := rows[0], rows[1], rows[2]
	near("GD", gd.Ours.Mean, 72)
	near("half of GD's interval", gd.Ours.Half, 4.968)
	near("GD+M", gdm.Ours.Mean, 82)
	near("the difference", gd.Difference.Mean, 10)
	near("half of its interval", gd.Difference.Half, 2.484)
	near("the ratio", *gd.Ratio, 82.0/72)
	near("the equal loss", *gd.Level, 0.2)
	near("GD+M at that loss", gdm.Equal.Mean, 80.5)
	near("GD at that loss", gd.Equal.Mean, 72)
	if gd.Status != "reproduced" || *gd.Paper != 75.83 || *gdm.Paper != 84.68 ||
		gdm.Difference != nil {
		t.Errorf("status %s, paper %v and %v, difference of GD+M to itself %v", gd.Status,
			*gd.Paper, *gdm.Paper, gdm.Difference)
	}
	if !slices.Equal(gd.Zero, []int{1, 2, 2}) || !slices.Equal(gdm.Zero, []int{1, 0, -1}) {
		t.Errorf("zero training error at %v and %v, want 1, 2, 2 and 1, 0, never", gd.Zero,
			gdm.Zero)
	}
	// The seed that diverged counts in no mean, and its pair in no difference. The other that ends
	// above the equal loss does not reach it.
	if same.Diverged != 1 || same.Ours.N != 2 || same.Difference.N != 2 || same.Seeds[1] != nil ||
		same.Equal.N != 1 {
		t.Errorf("control with a diverged seed: %+v", same)
	}
	near("the control", same.Ours.Mean, 76)
	near("the ratio to the control", *same.Ratio, (80.0+85)/(75+77))
	if same.Beyond != "diverged in 1 of 3 seeds" {
		t.Errorf("the control %q", same.Beyond)
	}
	near("GD+M minus the control", same.Difference.Mean, (5.0+8)/2)
	if gd.Trials != 8 || gdm.Trials != 8 {
		t.Errorf("%d and %d trials, want 8 each", gd.Trials, gdm.Trials)
	}
}

// A control at chance where the others fit is marked in the row of its difference: seed 1 diverged,
// seed 2 has training errors where GD has none, seed 3 fits.
func TestUntrainedControl(t *testing.T) {
	s := two()
	all := results(t, s)
	all[0].Arms[sameRate].Outcomes = []imagerun.Outcome{diverged(), ended(0.1, 0.9, 0.10, 1),
		ended(0.1, 1, 0.70, 1)}
	all[0].Arms[momentum].Outcomes[1] = ended(0.1, 0.9, 0.81, 1)
	want := "GD+M − GD at the effective rate of GD+M |  | 43 ± 356 (2: 71, 15) |  | 2.075 | of a " +
		"control that diverged in 1 of 3 seeds and did not fit all training images in 1 of 3 " +
		"seeds |"
	if text := s.markdown(all, s.rows(all)); !strings.Contains(text, want) {
		t.Errorf("want %s\n%s", want, text)
	}
	// Without a seed of GD or GD+M that fits, there is nothing to fall behind.
	all[0].Arms[plain].Outcomes[1] = ended(0.1, 0.9, 0.72, 1)
	if got := all[0].beyond(); got != "diverged in 1 of 3 seeds" {
		t.Errorf("the control %q", got)
	}
}

// The choice of GD+M by the same grid of η is an arm of its own beside the other, with its
// difference to GD (−1, −1, 0: −0.67 ± 1.43) and the paper's verdict. Where both choices are one
// setting, its arm has both names.
func TestTwoArms(t *testing.T) {
	s := two()
	s.Protocols = []Protocol{Effective, Eta}
	rows := s.rows(results(t, s))
	if len(rows) != 5 {
		t.Fatalf("%d rows, want 5 arms", len(rows))
	}
	for i, want := range []struct{ arm, of, protocol, status string }{
		{"GD", "GD+M (grid of η_eff) − GD", "η_eff and η", "reproduced"},
		{"GD+M (grid of η_eff)", "", "η_eff", ""},
		{"GD+M (grid of η)", "GD+M (grid of η) − GD", "η", "no difference seen"},
		{"GD at the effective rate of GD+M (grid of η_eff)",
			"GD+M (grid of η_eff) − GD at the effective rate of GD+M (grid of η_eff)", "", ""},
		{"GD, 10 times the epochs", "GD+M (grid of η_eff) − GD, 10 times the epochs", "", ""},
	} {
		r := rows[i]
		if r.Arm != want.arm || r.Of != want.of || r.Protocol != want.protocol ||
			r.Status != want.status {
			t.Errorf("%q, %q, %q, %q; want %q", r.Arm, r.Of, r.Protocol, r.Status, want)
		}
	}
	if d := rows[2].Difference; math.Abs(d.Mean+2.0/3) > 1e-9 || math.Abs(d.Half-1.434) > 0.001 {
		t.Errorf("the second arm minus GD: %v, want −0.67 ± 1.43", d)
	}
	if rows[1].EtaEff == rows[2].EtaEff || rows[1].Trials != 8 || rows[2].Trials != 8 {
		t.Errorf("η_eff %v of %d settings and %v of %d; want two rates, each of 8 settings",
			rows[1].EtaEff, rows[1].Trials, rows[2].EtaEff, rows[2].Trials)
	}
	s.Form = "damped" // both grids are one
	rows = s.rows(results(t, s))
	if len(rows) != 4 || rows[1].Arm != "GD+M" || rows[1].Protocol != "η_eff and η" {
		t.Errorf("damped: %d arms, %q of the grid of %s; want 4, GD+M of both", len(rows),
			rows[1].Arm, rows[1].Protocol)
	}
}

func TestTablesGolden(t *testing.T) {
	s := two()
	all := results(t, s)
	base := filepath.Join(t.TempDir(), "table")
	if _, err := s.writeTables(base, all, s.rows(all)); err != nil {
		t.Fatal(err)
	}
	for _, ending := range []string{".md", ".csv", ".json"} {
		got, err := os.ReadFile(base + ending)
		if err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", "table"+ending)
		if *update {
			if err := os.WriteFile(golden, got, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s is not as in %s; -update writes it anew:\n%s", ending, golden, got)
		}
	}
}

// A study all of whose final runs diverged has tables that say so.
func TestAllDiverged(t *testing.T) {
	s := two()
	all := results(t, s)
	for _, i := range []int{plain, momentum, sameRate, longer} {
		all[0].Arms[i].Outcomes = []imagerun.Outcome{diverged(), diverged(), diverged()}
	}
	base := filepath.Join(t.TempDir(), "table")
	if _, err := s.writeTables(base, all, s.rows(all)); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(base + ".md")
	if want := "| GD+M | 84.68 | none, 3 diverged | none | none |"; err != nil ||
		!strings.Contains(string(text), want) {
		t.Errorf("no %q in\n%s", want, text)
	}
	if text, err = os.ReadFile(base + ".csv"); err != nil ||
		!strings.Contains(string(text), "mini,64,weights,GD+M,test accuracy,84.68,,,0,,,0,") {
		t.Errorf("the CSV has numbers for what is not known:\n%s", text)
	}
	if err := s.curves(all[0]).Write(t.Context(), base); err != nil {
		t.Errorf("curves: %v", err)
	}
}

// The column of the comparison is there if there are several, with what tells each from the others.
func TestComparisonColumn(t *testing.T) {
	cell := func(title string, names ...string) Cell {
		return Cell{Title: title, Names: [4]string(names)}
	}
	a := cell("a", "CIFAR-10", "512 images", "ResNet-18", "full batch")
	b := cell("b", "CIFAR-10", "1000 images", "ResNet-18", "full batch")
	c := cell("c", "CIFAR-10", "1000 images", "ResNet-18", "batch 32")
	for _, tt := range []struct {
		cells        []Cell
		common, want string
	}{
		{[]Cell{a}, "CIFAR-10, 512 images, ResNet-18, full batch", "| loss |\n|---|\n| 0.5 |\n"},
		{[]Cell{a, b}, "CIFAR-10, ResNet-18, full batch",
			"|  | loss |\n|---|---|\n| 512 images | 0.5 |\n"},
		{[]Cell{a, b, c}, "CIFAR-10, ResNet-18",
			"|  | loss |\n|---|---|\n| 512 images, full batch | 0.5 |\n"},
	} {
		s := &Study{Cells: tt.cells}
		got := s.table([]string{"", "loss"}, [][]string{{"a", "0.5"}}).Markdown()
		if common, _ := distinguish(tt.cells); got != tt.want || common != tt.common {
			t.Errorf("%d comparison(s): %q, %q, want %q, %q", len(tt.cells), common, got, tt.common,
				tt.want)
		}
	}
}

// Values of seeds stand beside their interval where there are two or three that differ.
func TestWithSeeds(t *testing.T) {
	for _, tt := range []struct {
		values         []float64
		want, accuracy string
	}{
		{nil, "none", "none"},
		{[]float64{math.NaN()}, "none", "none"},
		{[]float64{70}, "70 (1)", "70"},
		{[]float64{70, math.NaN(), 72.25}, "71 ± 14 (2: 70, 72.2)", "71 ± 14 (70, 72.2)"},
		{[]float64{100, 100, 100}, "100 ± 0 (3)", "100 ± 0"},
		{[]float64{70, 72, 74, 76}, "73.0 ± 4.1 (4)", "73.0 ± 4.1"},
	} {
		if got := withSeeds(tt.values); got != tt.want {
			t.Errorf("%v: %s, want %s", tt.values, got, tt.want)
		}
		if got := stats.WithFew(tt.values); got != tt.accuracy {
			t.Errorf("the accuracies %v: %s, want %s", tt.values, got, tt.accuracy)
		}
	}
}
