package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"momentum/internal/backend"
	"momentum/internal/backend/backendtest"
	"momentum/internal/rundir"
	"momentum/internal/seeds"
)

func tinyTable1() table1Settings {
	return table1Settings{
		Teachers: []string{"1-mlp", "2-cnn"}, Students: []string{"linear", "2-cnn"}, Seed: 3,
		Seeds: 2,
		D:     6, Train: 20, Valid: 20, Test: 40, Center: 100, MLPWidth: 5, Filters: 3,
		FilterSize:   2,
		TeacherWidth: 4, TeacherFilters: 2,
		Epochs: 3, Batch: 8, Gamma: 0.5, Rates: []float64{0.1, 1},
	}
}

func table1Dir(t *testing.T, s table1Settings) *rundir.Dir {
	t.Helper()
	dir, err := rundir.Open(rundir.Spec{Root: t.TempDir(), Label: "table1", Settings: s})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dir.Close() })
	return dir
}

// goBackend needs no time to compile.
func goBackend(t *testing.T) *backend.Backend {
	t.Helper()
	be, err := backend.Open(t.Context(), "go", backend.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return be
}

// runTiny runs the table and returns the lanes of each student.
func runTiny(t *testing.T, be *backend.Backend, s table1Settings) (*rundir.Dir,
	map[string][]table1Lane) {
	t.Helper()
	dir := table1Dir(t, s)
	if err := runTable1(t.Context(), be, s, dir, nil); err != nil {
		t.Fatal(err)
	}
	parts := map[string][]table1Lane{}
	for _, student := range s.Students {
		lanes, err := s.readPart(dir.Path(student + ".json"))
		if err != nil {
			t.Fatal(err)
		}
		parts[student] = lanes
	}
	return dir, parts
}

// Every lane of the linear student against the rule written out for one lane at a time in float64,
// batches and their order included.
func TestTable1LinearByHand(t *testing.T) {
	s := tinyTable1()
	s.Students = s.Students[:1]
	be := backendtest.Open(t)
	_, parts := runTiny(t, be, s)
	world := &table1{table1Settings: s, be: goBackend(t)} // its labels are those of any backend
	if err := world.draw(t.Context()); err != nil {
		t.Fatal(err)
	}
	f, err := s.student("linear")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range parts["linear"] {
		i, teacher := int(l.Seed-s.Seed), slices.Index(s.Teachers, l.Teacher)
		var w [7]float64 // the bias last
		for k, x := range f.Init(seeds.Stream(l.Seed, "init"))[0] {
			w[k] = float64(x)
		}
		output := func(x []float32) float64 {
			sum := w[6]
			for k := range x {
				sum += w[k] * float64(x[k])
			}
			return sum
		}
		batch, gamma := s.Train, 0.0
		if strings.HasPrefix(l.Algorithm, "s") {
			batch = s.Batch // steps of 8, 8 and 4 points
		}
		if strings.HasSuffix(l.Algorithm, "m") {
			gamma = s.Gamma
		}
		var g [7]float64
		order := seeds.Stream(l.Seed, "order")
		for range s.Epochs {
			for rows := range slices.Chunk(order.Perm(s.Train), batch) {
				var gradient [7]float64
				for _, r := range rows {
					x, y := world.train.x[i][r*6:(r+1)*6], float64(world.train.y[i][teacher][r])
					slope := -y / (1 + math.Exp(y*output(x))) / float64(len(rows))
					for k := range x {
						gradient[k] += slope * float64(x[k])
					}
					gradient[6] += slope
				}
				for k := range w {
					g[k] = gamma*g[k] + (1-gamma)*gradient[k]
					w[k] -= l.Rate * g[k]
				}
			}
		}
		accuracy := func(set *labelled) (share, loss float64) {
			for r := range set.n {
				margin := float64(set.y[i][teacher][r]) * output(set.x[i][r*6:(r+1)*6])
				loss += math.Log1p(math.Exp(-margin)) / float64(set.n)
				if margin > 0 {
					share += 1 / float64(set.n)
				}
			}
			return share, loss
		}
		train, loss := accuracy(world.train)
		valid, _ := accuracy(world.val)
		test, _ := accuracy(world.test)
		if math.Abs(l.TrainingLoss-loss) > 1e-5 || math.Abs(l.TrainingError-(1-train)) > 1e-9 ||
			math.Abs(l.ValidAccuracy-valid) > 1e-9 ||
			math.Abs(l.TestAccuracy-test) > 1e-9 || l.Diverged {
			t.Errorf("%+v: want loss %v, training error %v, valid %v, test %v", l, loss, 1-train,
				valid, test)
		}
	}
}

// A lane is what it is alone, whatever runs beside it.
func TestTable1LanesAreIndependent(t *testing.T) {
	s := tinyTable1()
	s.Students = []string{"2-cnn"}
	_, all := runTiny(t, goBackend(t), s)
	s.Teachers, s.Rates, s.Seeds, s.Seed = []string{"2-cnn"}, []float64{1}, 1, 4
	_, one := runTiny(t, goBackend(t), s)
	for _, a := range one["2-cnn"] {
		b := lanesOf(all["2-cnn"], "2-cnn", a.Algorithm, 1)[1]
		if math.Abs(a.TrainingLoss-b.TrainingLoss) > 1e-5 || b.Seed != a.Seed || a.TrainingLoss ==
			0 {
			t.Errorf("alone %+v, among others %+v", a, b)
		}
	}
}

func TestTable1GammaZeroIsGD(t *testing.T) {
	s := tinyTable1()
	s.Gamma = 0
	_, parts := runTiny(t, goBackend(t), s)
	for _, pair := range table1Algorithms() {
		for _, student := range s.Students {
			for _, rate := range s.Rates {
				without, with := lanesOf(parts[student], "1-mlp", pair[0], rate),
					lanesOf(parts[student], "1-mlp", pair[1], rate)
				for i := range without {
					without[i].Algorithm = pair[1]
				}
				if !slices.Equal(with, without) || len(with) != s.Seeds {
					t.Errorf("%s, %s at %v: %+v, want %+v", student, pair[1], rate, with, without)
				}
			}
		}
	}
}

func TestTable1Divergence(t *testing.T) {
	s := tinyTable1()
	s.Rates = []float64{0.1, 1e39} // infinite in float32
	s.Students = []string{"2-cnn"}
	_, parts := runTiny(t, goBackend(t), s)
	for _, l := range parts["2-cnn"] {
		if l.Diverged != (l.Rate == 1e39) || l.Diverged && (l.TestAccuracy != 0 || l.TrainingLoss !=
			0) {
			t.Errorf("%+v", l)
		}
	}
	for _, cell := range s.result(parts).Cells {
		for _, score := range cell.Scores {
			if score.Rate != 0.1 || score.Diverged != s.Seeds {
				t.Errorf("%+v: want the rate 0.1 and %d diverged lanes", score, s.Seeds)
			}
		}
	}
}

// A run that is stopped and called again, and one of which a part is removed, end in the bytes of
// one that ran through.
func TestTable1Resume(t *testing.T) {
	s, be := tinyTable1(), goBackend(t)
	whole, _ := runTiny(t, be, s)
	files := []string{"linear.json", "2-cnn.json", "table1.json", "table1.csv", "table1.md"}
	same := func(dir *rundir.Dir) {
		t.Helper()
		for _, name := range files {
			a, errA := os.ReadFile(whole.Path(name))
			b, errB := os.ReadFile(dir.Path(name))
			if errA != nil || errB != nil || !bytes.Equal(a, b) {
				t.Errorf("%s differs: %v, %v", name, errA, errB)
			}
		}
	}
	dir := table1Dir(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	total := len(s.Students) * s.lanesOfStudent() * s.Epochs
	err := runTable1(ctx, be, s, dir, func(done, of int) {
		if of != total {
			t.Errorf("total %d, want %d", of, total)
		}
		if done > total*3/4 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir.Path("table1.md")); err == nil {
		t.Error("a table of half a run")
	}
	var calls []int
	if err := runTable1(t.Context(), be, s, dir,
		func(done, _ int) { calls = append(calls, done) }); err != nil {
		t.Fatal(err)
	}
	if calls[0] != total/2 || last(calls) != total { // linear is taken as it is, in one go
		t.Errorf("progress begins at %d and ends at %d, want %d and %d", calls[0], last(calls),
			total/2, total)
	}
	same(dir)
	if err := os.Remove(dir.Path("linear.json")); err != nil {
		t.Fatal(err)
	}
	if err := runTable1(t.Context(), be, s, dir, nil); err != nil {
		t.Fatal(err)
	}
	same(dir)
	if err := os.WriteFile(dir.Path("linear.json"), []byte("[]"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := runTable1(t.Context(), be, s, dir, nil); err == nil ||
		!strings.Contains(err.Error(), "linear.json: 0 lanes, want 32: remove it") {
		t.Error(err)
	}
}

// Labels are balanced on points that the median was not taken from: over 400 points, with a median
// of 400, to 4 standard errors of √(¼/400 + ¼/400). (A teacher so narrow that all its units may be
// off has the same output at many points.)
func TestTable1Labels(t *testing.T) {
	s := tinyTable1()
	s.Teachers, s.Train, s.Valid, s.Test, s.Center = []string{"1-mlp", "2-mlp", "1-cnn", "2-cnn"},
		400, 400, 400, 400
	s.TeacherWidth, s.TeacherFilters = 20, 5
	world := &table1{table1Settings: s, be: goBackend(t)}
	if err := world.draw(t.Context()); err != nil {
		t.Fatal(err)
	}
	for seed, byTeacher := range world.train.y {
		for k, y := range byTeacher {
			positive := 0
			for _, v := range y {
				if v == 1 {
					positive++
				} else if v != -1 {
					t.Fatalf("label %v", v)
				}
			}
			if share := float64(positive) / 400; math.Abs(share-0.5) >
				4*math.Sqrt(0.25/400+0.25/400) {
				t.Errorf("seed %d, %s: a share of %v is positive", seed, s.Teachers[k], share)
			}
			if k > 0 && slices.Equal(y, byTeacher[0]) {
				t.Errorf("%s labels as %s does", s.Teachers[k], s.Teachers[0])
			}
		}
	}
	if slices.Equal(world.train.x[0], world.train.x[1]) || slices.Equal(world.train.x[0][:60],
		world.test.x[0][:60]) {
		t.Error("two seeds or two purposes have the same points")
	}
}

// byHand are lanes of one student and teacher with rates 0.1, 1 and 10 for two seeds.
func byHand() (table1Settings, map[string][]table1Lane) {
	s := table1Settings{Teachers: []string{"1-mlp"}, Students: []string{"linear"}, Seed: 1,
		Seeds: 2, Rates: []float64{0.1, 1, 10}}
	var lanes []table1Lane
	add := func(algorithm string, rate float64, diverged bool, valid, test [2]float64) {
		for i := range 2 {
			l := table1Lane{Teacher: "1-mlp", Algorithm: algorithm, Rate: rate, Seed: uint64(1 + i),
				ValidAccuracy: valid[i], TestAccuracy: test[i]}
			if i == 1 && diverged {
				l = table1Lane{Teacher: "1-mlp", Algorithm: algorithm, Rate: rate, Seed: 2,
					Diverged: true}
			}
			lanes = append(lanes, l)
		}
	}
	add("gd", 0.1, false, [2]float64{0.7, 0.8}, [2]float64{0.9, 0.9})
	add("gd", 1, false, [2]float64{0.8, 0.8}, [2]float64{0.70, 0.74}) // the best mean
	// best where it does not diverge
	add("gd", 10, true, [2]float64{1, 0}, [2]float64{1, 0})
	add("gdm", 0.1, false, [2]float64{0.6, 0.6}, [2]float64{0.5, 0.5})
	add("gdm", 1, false, [2]float64{0.7, 0.7}, [2]float64{0.71, 0.76})
	add("gdm", 10, false, [2]float64{0.9, 0.9}, [2]float64{0.80, 0.82})
	for _, rate := range s.Rates {
		add("sgd", rate, true, [2]float64{0.5, 0.5}, [2]float64{0.5, 0.5})
		add("sgdm", rate, false, [2]float64{0.5, 0.5}, [2]float64{0.5, 0.5}) // a tie
	}
	return s, map[string][]table1Lane{"linear": lanes}
}

func TestTable1Result(t *testing.T) {
	s, parts := byHand()
	r := s.result(parts)
	cell := r.Cells[0]
	for i, want := range []table1Score{
		{Algorithm: "gd", Rate: 1, Diverged: 1, Valid: 80, Paper: 93.48},
		{Algorithm: "gdm", Rate: 10, AtEdge: true, Valid: 90, Paper: 93.25},
		{Algorithm: "sgd", Diverged: 3},
		{Algorithm: "sgdm", Rate: 0.1, AtEdge: true, Valid: 50},
	} {
		got := cell.Scores[i]
		if got.Algorithm != want.Algorithm || got.Rate != want.Rate || got.AtEdge != want.AtEdge ||
			got.Diverged != want.Diverged ||
			math.Abs(got.Valid-want.Valid) > 1e-9 || got.Paper != want.Paper {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	// GD at its rate 1: 70 and 74. GD+M at its rate 10: 80 and 82, that is 10 and 8 more: 9 ±
	// 12.7062·√2/√2 (n = 2). At rate 1: 71 and 76, 1 and 2 more: 1.5 ± 12.7062·½.
	near := func(name string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 1e-3 {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	near("GD", cell.Scores[0].Test.Mean, 72)
	near("gain", cell.Gains[0].Chosen.Mean, 9)
	near("its half", cell.Gains[0].Chosen.Half, 12.7062)
	near("gain at one rate", cell.Gains[0].Matched.Mean, 1.5)
	near("its half", cell.Gains[0].Matched.Half, 12.7062/2)
	near("the paper's gain", *cell.Gains[0].Paper, -0.23)
	near("overall", r.Overall[0].Chosen.Mean, 9)
	if cell.Gains[1].Chosen.N != 0 || cell.Gains[1].Paper != nil || r.Overall[1].Chosen.N != 0 {
		t.Errorf("a gain over what diverged: %+v, %+v", cell.Gains[1], r.Overall[1])
	}

	// Whatever the test accuracies are, the rates stay.
	for i := range parts["linear"] {
		parts["linear"][i].TestAccuracy = 1 / float64(1+i)
	}
	for i, score := range s.result(parts).Cells[0].Scores {
		if score.Rate != cell.Scores[i].Rate {
			t.Errorf("%s: the rate %v became %v with other test accuracies", score.Algorithm,
				cell.Scores[i].Rate, score.Rate)
		}
	}
}

func TestTable1Files(t *testing.T) {
	s, parts := byHand()
	r := s.result(parts)
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
	var out bytes.Buffer
	if err := r.writeMarkdown(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		// s = 2√2 and √2
		"| teacher \\ student | linear |\n|---|---|\n| 1-mlp | 72.00 ± 25.41 / 81.00 ± 12.71 |\n",
		"| 1-mlp | 93.48 / 93.25 |\n",
		"| 1-mlp | +9.00 ± 12.71 (paper -0.23) |\n",
		"Over all cells: +9.00 ± 12.71, and +1.50 ± 6.35 with both at the rate chosen without " +
			"momentum. 0 is outside of 0 of 1 intervals",
		"| 1-mlp | none / 50.00 ± 0.00 |\n",
		"| 1-mlp | linear | 1: 0.0, 1 diverged | 10*: 0.0 | none, 3 diverged | 0.1*: 0.0 |\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	out.Reset()
	if err := r.writeCSV(&out); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&out).ReadAll()
	if err != nil || len(rows) != 5 {
		t.Fatalf("%v, %v, want a header and 4 rows", rows, err)
	}
	for i, want := range []string{
		"1-mlp gdm 10 true 90 81 12.7062 2 0 0 0 93.25 9 12.7062 1.5 6.3531 -0.23",
		"1-mlp sgd  false    0   3      ",
	} {
		row := rows[2+i]
		if got := strings.Join(slices.Concat(row[:1], row[2:]), " "); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestTable1Validate(t *testing.T) {
	if err := defaultTable1().validate(); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*table1Settings){
		"seeds must be at least 1":    func(s *table1Settings) { s.Seeds = 0 },
		"rates must be at least 1":    func(s *table1Settings) { s.Rates = nil },
		"ascending, got [1 0.1]":      func(s *table1Settings) { s.Rates = []float64{1, 0.1} },
		"finite and ascending":        func(s *table1Settings) { s.Rates = []float64{math.NaN()} },
		"at most the 500 training":    func(s *table1Settings) { s.Batch = 501 },
		"gamma must be in [0, 1)":     func(s *table1Settings) { s.Gamma = 1 },
		"unknown network \"1-tree\"":  func(s *table1Settings) { s.Teachers = []string{"1-tree"} },
		"width must be at least 1":    func(s *table1Settings) { s.Filters = 0 },
		"do not fit into 30":          func(s *table1Settings) { s.FilterSize = 16 },
		"epochs must be at least 1":   func(s *table1Settings) { s.Epochs = -1 },
		"students must be at least 1": func(s *table1Settings) { s.Students = nil },
	} {
		s := defaultTable1()
		change(&s)
		if err := s.validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want an error with %q", err, want)
		}
	}
}
