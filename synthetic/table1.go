package main

import (
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
	"strings"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"momentum/datasets"
	"momentum/internal/backend"
	"momentum/internal/descent"
	"momentum/internal/rundir"
	"momentum/internal/seeds"
	"momentum/internal/stats"
	"momentum/models"
)

// table1Settings are what the result of Table 1 depends on. The paper gives d, the numbers of
// points, the epochs and the batch; widths, filter sizes, rates and γ are chosen here.
type table1Settings struct {
	Teachers []string `json:"teachers"` // names as models.ParseFeedforward takes them
	Students []string `json:"students"`

	Seed uint64 `json:"seed"` // of the first repetition; the others follow it
	// repetitions, each with its own points, teachers, initial weights and order
	Seeds int `json:"seeds"`

	D      int `json:"d"`      // dimension of a point
	Train  int `json:"train"`  // training points
	Valid  int `json:"valid"`  // points on which rates are chosen
	Test   int `json:"test"`   // test points
	Center int `json:"center"` // points whose median teacher output is the threshold of the labels

	MLPWidth       int `json:"mlp_width"`   // units of a student's hidden layer
	Filters        int `json:"filters"`     // filters of a student's convolution
	FilterSize     int `json:"filter_size"` // of students and teachers
	TeacherWidth   int `json:"teacher_width"`
	TeacherFilters int `json:"teacher_filters"`

	Epochs int `json:"epochs"`
	Batch  int `json:"batch"` // of SGD and SGD+M; the last batch of an epoch is shorter
	// γ of GD+M and SGD+M, in the damped form, in which η is the effective rate
	Gamma float64   `json:"gamma"`
	Rates []float64 `json:"rates"` // η tried by every algorithm, ascending
}

// defaultTable1 is the paper's setting. Each student but the linear one has more parameters than
// there are training points (1-CNN: 513), and teachers are smaller than students.
func defaultTable1() table1Settings {
	return table1Settings{
		Teachers: []string{"1-mlp", "2-mlp", "1-cnn", "2-cnn"},
		Students: []string{"linear", "1-mlp", "2-mlp", "1-cnn", "2-cnn"},
		Seed:     1, Seeds: 5, D: 30, Train: 500, Valid: 1000, Test: 5000, Center: 10000,
		MLPWidth: 64, Filters: 16, FilterSize: 3, TeacherWidth: 20, TeacherFilters: 4,
		Epochs: 1000, Batch: 128, Gamma: 0.9, Rates: []float64{0.1, 0.3, 1, 3, 10},
	}
}

func (s table1Settings) validate() error {
	for _, c := range []struct {
		name  string
		value int
	}{
		{"teachers", len(s.Teachers)}, {"students", len(s.Students)}, {"rates", len(s.Rates)},
		{"seeds", s.Seeds}, {"train", s.Train},
		{"valid", s.Valid}, {"test", s.Test}, {"center", s.Center}, {"epochs", s.Epochs},
		{"batch", s.Batch},
	} {
		if c.value < 1 {
			return fmt.Errorf("table1: %s must be at least 1, got %d", c.name, c.value)
		}
	}
	if s.Batch > s.Train {
		return fmt.Errorf("table1: batch must be at most the %d training points, got %d", s.Train,
			s.Batch)
	}
	for i, eta := range s.Rates {
		if !(eta > 0) || math.IsInf(eta, 0) || i > 0 && eta <= s.Rates[i-1] {
			return fmt.Errorf("table1: rates must be positive, finite and ascending, got %v",
				s.Rates)
		}
	}
	if err := (descent.Rule{Form: descent.Damped, Gamma: s.Gamma}).Validate(); err != nil {
		return fmt.Errorf("table1: %w", err)
	}
	for i, name := range slices.Concat(s.Teachers, s.Students) {
		network := s.student
		if i < len(s.Teachers) {
			network = s.teacher
		}
		if _, err := network(name); err != nil {
			return fmt.Errorf("table1: %w", err)
		}
	}
	return nil
}

func (s table1Settings) teacher(name string) (models.Feedforward, error) {
	return models.ParseFeedforward(name, s.D, s.TeacherWidth, s.TeacherFilters, s.FilterSize)
}

func (s table1Settings) student(name string) (models.Feedforward, error) {
	return models.ParseFeedforward(name, s.D, s.MLPWidth, s.Filters, s.FilterSize)
}

// table1Algorithms are in pairs of one batch: without and with momentum.
func table1Algorithms() [][2]string { return [][2]string{{"gd", "gdm"}, {"sgd", "sgdm"}} }

// table1Lane is what became of one student: the networks after the last epoch. Accuracies and
// errors are shares in [0, 1].
type table1Lane struct {
	Teacher       string  `json:"teacher"`
	Algorithm     string  `json:"algorithm"` // gd, gdm, sgd or sgdm
	Rate          float64 `json:"rate"`
	Seed          uint64  `json:"seed"`
	ValidAccuracy float64 `json:"valid_accuracy"`
	TestAccuracy  float64 `json:"test_accuracy"`
	TrainingError float64 `json:"training_error"`
	TrainingLoss  float64 `json:"training_loss"` // mean of log(1 + exp(−y f))
	// weights or loss are not finite; the numbers above are then 0
	Diverged bool `json:"diverged"`
}

// runTable1 trains every student on every teacher by every algorithm at every rate for every seed,
// and writes table1.md, .csv and .json into the folder.
//
// The lanes of one student are done when STUDENT.json is there; a second call takes them from there
// and goes on with the next student. An ended context is noticed between epochs. onProgress, if not
// nil, is told how many epochs of lanes are done.
func runTable1(ctx context.Context, be *backend.Backend, s table1Settings, dir *rundir.Dir,
	onProgress func(done, total int)) error {
	if err := s.validate(); err != nil {
		return err
	}
	t := &table1{table1Settings: s, be: be, onProgress: onProgress}
	t.total = len(s.Students) * s.lanesOfStudent() * s.Epochs
	parts := map[string][]table1Lane{}
	for _, student := range s.Students {
		lanes, err := s.readPart(dir.Path(student + ".json"))
		if errors.Is(err, fs.ErrNotExist) {
			if lanes, err = t.trainStudent(ctx, student); err == nil {
				err = dir.WriteJSON(student+".json", lanes)
			}
		} else if err == nil {
			t.progress(s.lanesOfStudent() * s.Epochs)
		}
		if err != nil {
			return fmt.Errorf("table1: %s: %w", student, err)
		}
		parts[student] = lanes
	}
	r := s.result(parts)
	if err := dir.WriteJSON("table1.json", r); err != nil {
		return err
	}
	if err := dir.WriteFile("table1.csv", r.writeCSV); err != nil {
		return err
	}
	return dir.WriteFile("table1.md", r.writeMarkdown)
}

func (s table1Settings) lanesOfStudent() int { return len(s.Teachers) * len(s.Rates) * 4 * s.Seeds }

// readPart reads the lanes of a student that is done.
func (s table1Settings) readPart(path string) ([]table1Lane, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var lanes []table1Lane
	if err := json.Unmarshal(text, &lanes); err != nil {
		return nil, fmt.Errorf("%s: %w: remove it and run again", path, err)
	}
	if len(lanes) != s.lanesOfStudent() {
		return nil, fmt.Errorf("%s: %d lanes, want %d: remove it and run again", path, len(lanes),
			s.lanesOfStudent())
	}
	return lanes, nil
}

// table1 is the experiment while it runs. Points lie by seed: the seeds are the groups of
// models.Feedforward.Logits.
type table1 struct {
	table1Settings
	be               *backend.Backend
	train, val, test *labelled // nil until a student needs them
	onProgress       func(done, total int)
	done, total      int
}

func (t *table1) progress(lanes int) {
	t.done += lanes
	if t.onProgress != nil {
		t.onProgress(t.done, t.total)
	}
}

// labelled are the points of one purpose for all seeds, and their labels by each teacher.
type labelled struct {
	n int
	x [][]float32   // [seed][n·d]
	y [][][]float32 // [seed][teacher][n], −1 or 1
}

// draw makes the points and labels. A label is the sign of the teacher's output minus its median
// over other points, so that both labels are equally likely.
func (t *table1) draw(ctx context.Context) error {
	center := &labelled{n: t.Center}
	t.train, t.val, t.test = &labelled{n: t.Train}, &labelled{n: t.Valid}, &labelled{n: t.Test}
	purposes := []string{"center", "train", "valid", "test"}
	for i, set := range []*labelled{center, t.train, t.val, t.test} {
		for seed := range t.Seeds {
			set.x = append(set.x, datasets.Gaussian(t.Seed+uint64(seed), purposes[i], set.n, t.D))
		}
		set.y = make([][][]float32, t.Seeds)
	}
	for _, name := range t.Teachers {
		if err := ctx.Err(); err != nil {
			return err
		}
		f, err := t.teacher(name)
		if err != nil {
			return err
		}
		output, err := t.outputs(f, "teacher/"+name)
		if err != nil {
			return err
		}
		median := make([]float32, t.Seeds)
		for _, set := range []*labelled{center, t.train, t.val, t.test} {
			y, err := output(set)
			if err != nil {
				return err
			}
			for seed := range y {
				if set == center {
					slices.Sort(y[seed])
					median[seed] = y[seed][t.Center/2]
				}
				for i, f := range y[seed] {
					y[seed][i] = 1
					if f <= median[seed] {
						y[seed][i] = -1
					}
				}
				set.y[seed] = append(set.y[seed], y[seed])
			}
		}
	}
	return nil
}

// outputs returns a function that computes what networks with initial weights, one for each seed,
// say of points: [seed][n].
func (t *table1) outputs(f models.Feedforward, purpose string) (func(*labelled) ([][]float32,
	error), error) {
	weights := t.initial(f, purpose, 1)
	exec, err := NewExec(t.be.Backend, func(in []*Node) *Node {
		return f.Logits(byName(f, in[1:]),
			in[0])
	})
	return func(set *labelled) ([][]float32, error) {
		y := make([][]float32, t.Seeds)
		err := backend.Try("teacher", func() {
			for from := 0; from < set.n; from += t.Train {
				to := min(from+t.Train, set.n)
				in := []any{set.points(from, to, t.D)}
				for _, w := range weights {
					in = append(in, w)
				}
				f := tensors.MustCopyFlatData[float32](exec.MustCall(in...)[0]) // [seeds, to−from]
				for seed := range y {
					y[seed] = append(y[seed], f[seed*(to-from):(seed+1)*(to-from)]...)
				}
			}
		})
		return y, err
	}, err
}

// points are the points from … to−1 of each seed: [seeds, to−from, d].
func (l *labelled) points(from, to, d int) *tensors.Tensor {
	var flat []float32
	for _, x := range l.x {
		flat = append(flat, x[from*d:to*d]...)
	}
	return tensors.FromFlatDataAndDimensions(flat, len(l.x), to-from, d)
}

// labels are the labels of the points from … to−1 of each seed for students of the given teachers:
// [seeds, to−from, len(teachers)].
func (l *labelled) labels(from, to int, teachers []int) *tensors.Tensor {
	var flat []float32
	for _, y := range l.y {
		for i := from; i < to; i++ {
			for _, k := range teachers {
				flat = append(flat, y[k][i])
			}
		}
	}
	return tensors.FromFlatDataAndDimensions(flat, len(l.y), to-from, len(teachers))
}

// initial are initial weights of a network for a purpose, as lanes: each seed's weights as often as
// copies says.
func (t *table1) initial(f models.Feedforward, purpose string, copies int) []*tensors.Tensor {
	params := f.Params()
	all := make([][]float32, len(params))
	for seed := range t.Seeds {
		for i, v := range f.Init(seeds.Stream(t.Seed+uint64(seed), purpose)) {
			all[i] = append(all[i], slices.Repeat(v, copies)...)
		}
	}
	var lanes []*tensors.Tensor
	for i, p := range params {
		lanes = append(lanes, tensors.FromFlatDataAndDimensions(all[i],
			append([]int{t.Seeds * copies}, p.Shape...)...))
	}
	return lanes
}

// byName finds a parameter among those of Feedforward.Params.
func byName(f models.Feedforward, nodes []*Node) models.Weights {
	params := f.Params()
	return func(name string) *Node {
		return nodes[slices.IndexFunc(params, func(p models.Param) bool { return p.Name == name })]
	}
}

// trial is a setting that is trained for all seeds.
type trial struct {
	teacher   int // index
	algorithm string
	rate      float64
	gamma     float64
}

// trainStudent trains all lanes of one student: all trials of each batch, as many at a time as the
// processor likes.
func (t *table1) trainStudent(ctx context.Context, student string) ([]table1Lane, error) {
	if t.train == nil {
		if err := t.draw(ctx); err != nil {
			return nil, err
		}
	}
	f, err := t.student(student)
	if err != nil {
		return nil, err
	}
	var all []table1Lane
	for i, pair := range table1Algorithms() {
		batch := []int{t.Train, t.Batch}[i]
		var trials []trial
		for teacher := range t.Teachers {
			for _, rate := range t.Rates {
				trials = append(trials, trial{teacher, pair[0], rate, 0},
					trial{teacher, pair[1], rate, t.Gamma})
			}
		}
		c, err := t.compile(f, batch)
		if err != nil {
			return nil, err
		}
		for block := range slices.Chunk(trials, t.atATime(f, batch, len(trials))) {
			lanes, err := c.train(ctx, block)
			if err != nil {
				return nil, err
			}
			all = append(all, lanes...)
		}
	}
	return all, nil
}

// atATime is how many trials go into one call: a divisor of their number, so that one executable
// serves all. A GPU takes all at once. On a CPU about 4 MB of activations are best: all 40 trials
// at once, which leave its caches, made a 2-CNN more than ten times slower.
func (t *table1) atATime(f models.Feedforward, batch, trials int) int {
	if t.be.Kind == backend.CUDA {
		return trials
	}
	n := min(trials, max(1, (4<<20)/max(1, 4*f.Activations()*batch*t.Seeds)))
	for trials%n != 0 {
		n--
	}
	return n
}

// compiled are the executables of one student and batch.
type compiled struct {
	*table1
	f               models.Feedforward
	batch           int
	epoch, evaluate *Exec
}

func (t *table1) compile(f models.Feedforward, batch int) (*compiled, error) {
	c := &compiled{table1: t, f: f, batch: batch}
	var err, err2 error
	c.epoch, err = NewExec(t.be.Backend, c.epochGraph)
	c.evaluate, err2 = NewExec(t.be.Backend, c.evaluateGraph)
	return c, errors.Join(err, err2)
}

// epochGraph is one epoch: from (points [G, n, d], labels [G, n, K], order [G, n], η, γ and gain
// [S], weights..., buffers...) to (weights..., buffers...), for G seeds of K trials each, S = G·K,
// where order counts the points of all seeds from 0 to G·n−1. Each step is
//
//	∇L_s = 1/b Σ_i −y_i sigmoid(−y_i f_s(x_i)) ∇f_s(x_i)     over the b points of the batch, for the lanes s apart
//	buffer ← γ buffer + gain·∇L;  w ← w − η buffer           descent.Update
func (c *compiled) epochGraph(in []*Node) []*Node {
	points, labels, order, eta, gamma, gain, state := in[0], in[1], in[2], in[3], in[4], in[5],
		in[6:]
	groups, n, lanes := order.Shape().Dim(0), order.Shape().Dim(1), eta.Shape().Dim(0)
	points, labels = Reshape(points, groups*n, -1), Reshape(labels, groups*n, -1)
	w, buffer := state[:len(state)/2], state[len(state)/2:]
	for from := 0; from < n; from += c.batch {
		b := min(c.batch, n-from)
		rows := InsertAxes(Slice(order, AxisRange(), AxisRange(from, from+b)), -1)
		y := Reshape(Transpose(Gather(labels, rows), 1, 2), lanes, b)
		f := c.f.Logits(byName(c.f, w), Gather(points, rows)) // [S, b]
		slope := Neg(Mul(y, Sigmoid(Neg(Mul(y, f)))))         // of log(1 + exp(−y f)) in f
		gradients := Gradient(ReduceAllSum(Mul(StopGradient(MulScalar(slope, 1/float64(b))), f)),
			w...)
		newW, newBuffer := make([]*Node, len(w)), make([]*Node, len(w))
		for i := range w {
			perLane := func(x *Node) *Node {
				return InsertAxes(x,
					slices.Repeat([]int{-1}, w[i].Rank()-1)...)
			}
			newW[i], newBuffer[i] = descent.Update(w[i], gradients[i], buffer[i], perLane(eta),
				perLane(gamma), perLane(gain))
		}
		w, buffer = newW, newBuffer
	}
	return slices.Concat(w, buffer)
}

// evaluateGraph is what lanes make of points [G, n, d] with labels [G, n, K]: how many are right,
// the sum of the losses, and whether the weights are finite (1 or 0), [S] each. The weights are
// looked at because ReLU turns NaN into 0.
func (c *compiled) evaluateGraph(in []*Node) []*Node {
	points, labels, w := in[0], in[1], in[2:]
	lanes, n := w[0].Shape().Dim(0), points.Shape().Dim(1)
	// y f [S, n]
	margin := Mul(Reshape(Transpose(labels, 1, 2), lanes, n), c.f.Logits(byName(c.f, w), points))
	var size *Node
	for _, x := range w {
		if sum := ReduceSum(Abs(Reshape(x, lanes, -1)), 1); size == nil {
			size = sum
		} else {
			size = Add(size, sum)
		}
	}
	right := ConvertDType(GreaterThan(margin, ZerosLike(margin)), margin.DType())
	return []*Node{ReduceSum(right, 1), ReduceSum(Softplus(Neg(margin)), 1),
		ConvertDType(IsFinite(size), margin.DType())}
}

// train runs trials for all seeds from their initial weights to the last epoch and evaluates them.
func (c *compiled) train(ctx context.Context, trials []trial) ([]table1Lane, error) {
	var teachers []int
	var eta, gamma, gain []float32
	for range c.Seeds { // lanes are by seed, then by trial
		for _, t := range trials {
			eta = append(eta, float32(t.rate))
			gamma = append(gamma, float32(t.gamma))
			gain = append(gain, float32(descent.Rule{Form: descent.Damped, Gamma: t.gamma}.Gain()))
		}
	}
	for _, t := range trials {
		teachers = append(teachers, t.teacher)
	}
	s := len(eta)
	var state []*tensors.Tensor
	err := backend.Try("train", func() {
		fixed := []any{c.table1.train.points(0, c.Train, c.D),
			c.table1.train.labels(0, c.Train, teachers)}
		rule := []any{tensors.FromFlatDataAndDimensions(eta, s),
			tensors.FromFlatDataAndDimensions(gamma, s), tensors.FromFlatDataAndDimensions(gain, s)}
		state = c.initial(c.f, "init", len(trials))
		for _, w := range state {
			state = append(state, tensors.FromShape(w.Shape())) // the momentum, 0
		}
		next := c.orders()
		order := next()
		for range c.Epochs {
			if err := ctx.Err(); err != nil {
				panic(err)
			}
			in := slices.Concat(fixed, []any{order}, rule)
			for _, x := range state {
				donated, err := DonateTensorBuffer(x, c.be.Backend, 0)
				if err != nil {
					panic(err)
				}
				in = append(in, donated)
			}
			state = c.epoch.MustCall(in...)
			if c.batch < c.Train {
				order = next()
			}
			c.progress(s)
		}
	})
	if err != nil {
		return nil, err
	}
	lanes := make([]table1Lane, s)
	err = backend.Try("evaluate", func() {
		weights := state[:len(state)/2]
		train, val, test := c.count(c.table1.train, teachers, weights),
			c.count(c.val, teachers, weights), c.count(c.test, teachers, weights)
		for i := range lanes {
			t := trials[i%len(trials)]
			l := table1Lane{Teacher: c.Teachers[t.teacher], Algorithm: t.algorithm, Rate: t.rate,
				Seed: c.Seed + uint64(i/len(trials))}
			loss := train[1][i] / float64(c.Train)
			if l.Diverged = train[2][i] == 0 || math.IsNaN(loss) ||
				math.IsInf(loss, 0); !l.Diverged {
				l.TrainingLoss, l.TrainingError = loss, 1-train[0][i]/float64(c.Train)
				l.ValidAccuracy, l.TestAccuracy = val[0][i]/float64(c.Valid),
					test[0][i]/float64(c.Test)
			}
			lanes[i] = l
		}
	})
	return lanes, err
}

// orders returns a function that gives the order of the next epoch: [seeds, n], the rows of all
// seeds' points. The full batch is in order; batches are shuffled by each seed's stream, the same
// for all students, teachers and rules.
func (c *compiled) orders() func() *tensors.Tensor {
	var streams []func(int) []int
	for seed := range c.Seeds {
		streams = append(streams, seeds.Stream(c.Seed+uint64(seed), "order").Perm)
	}
	return func() *tensors.Tensor {
		var order []int32
		for seed, perm := range streams {
			rows := perm(c.Train)
			if c.batch >= c.Train {
				slices.Sort(rows)
			}
			for _, i := range rows {
				order = append(order, int32(seed*c.Train+i))
			}
		}
		return tensors.FromFlatDataAndDimensions(order, c.Seeds, c.Train)
	}
}

// count sums what evaluateGraph gives over a set, in pieces of the size of a batch of the training
// points.
func (c *compiled) count(set *labelled, teachers []int,
	weights []*tensors.Tensor) (sums [3][]float64) {
	for from := 0; from < set.n; from += c.Train {
		to := min(from+c.Train, set.n)
		in := []any{set.points(from, to, c.D), set.labels(from, to, teachers)}
		for _, w := range weights {
			in = append(in, w)
		}
		for k, x := range c.evaluate.MustCall(in...) {
			v := tensors.MustCopyFlatData[float32](x)
			if sums[k] == nil {
				sums[k] = make([]float64, len(v))
			}
			for i := range v {
				sums[k][i] += float64(v[i])
			}
		}
	}
	return sums
}

// table1Result is Table 1: percentages, and differences of percentages in points.
type table1Result struct {
	Settings table1Settings `json:"settings"`
	Cells    []table1Cell   `json:"cells"`
	// gains averaged over the cells that have one, for each seed
	Overall []table1Gain `json:"overall"`
}

// table1Cell is a student of a teacher.
type table1Cell struct {
	Teacher string        `json:"teacher"`
	Student string        `json:"student"`
	Scores  []table1Score `json:"scores"` // gd, gdm, sgd, sgdm
	Gains   []table1Gain  `json:"gains"`  // gdm − gd, sgdm − sgd
}

// table1Score is an algorithm at its chosen rate: the one with the best mean validation accuracy
// among those at which no seed diverged, the smallest of equally good ones. Test points have no
// part in it.
type table1Score struct {
	Algorithm string  `json:"algorithm"`
	Rate      float64 `json:"rate"` // 0: there is none, and nothing below
	// the smallest or the largest rate tried: a wider grid may give a better one
	AtEdge        bool           `json:"rate_at_edge"`
	Valid         float64        `json:"valid_percent"`
	Test          stats.Interval `json:"test_percent"`
	TestBySeed    []float64      `json:"test_percent_by_seed"`
	TrainingError float64        `json:"training_error_percent"` // mean
	TrainingLoss  float64        `json:"training_loss"`          // mean
	Diverged      int            `json:"diverged_lanes"`         // at all rates
	Paper         float64        `json:"paper_percent,omitempty"`
}

// table1Gain is the test accuracy with momentum minus that without, paired by seed.
type table1Gain struct {
	Algorithm string         `json:"algorithm"` // gdm or sgdm
	Chosen    stats.Interval `json:"chosen"`    // each at its own chosen rate
	// both at the rate chosen without momentum, the same effective rate
	Matched stats.Interval `json:"matched"`
	Paper   *float64       `json:"paper,omitempty"`
}

// table1Paper is the paper's test accuracy of GD and GD+M in percent, the mean of 3 runs; 0, 0 for
// what is not in it.
func table1Paper(teacher, student string) (gd, gdm float64) {
	row := map[string][10]float64{
		"1-mlp": {93.48, 93.25, 92.32, 92.18, 84.30, 83.68, 94.18, 94.12, 76.04, 76.12},
		"2-mlp": {93.45, 92.85, 91.02, 91.78, 83.82, 83.25, 94.14, 94.20, 75.50, 75.56},
		"1-cnn": {92.21, 92.34, 92.31, 92.33, 83.39, 83.44, 94.39, 94.39, 79.44, 78.32},
		"2-cnn": {91.04, 91.22, 91.51, 91.56, 82.44, 82.12, 93.91, 93.79, 80.86, 78.56},
	}[teacher]
	i := slices.Index([]string{"linear", "1-mlp", "2-mlp", "1-cnn", "2-cnn"}, student)
	if i < 0 {
		return 0, 0
	}
	return row[2*i], row[2*i+1]
}

// result chooses rates and compares, from the lanes of each student.
func (s table1Settings) result(parts map[string][]table1Lane) table1Result {
	r := table1Result{Settings: s}
	var chosen, matched [2][][]float64 // the gains of each cell by seed, for the two pairs
	for _, teacher := range s.Teachers {
		for _, student := range s.Students {
			cell := table1Cell{Teacher: teacher, Student: student}
			for i, pair := range table1Algorithms() {
				plain, momentum := s.score(parts[student], teacher, pair[0]),
					s.score(parts[student], teacher, pair[1])
				atPlainRate := testBySeed(lanesOf(parts[student], teacher, pair[1], plain.Rate))
				chosen[i] = append(chosen[i], minus(momentum.TestBySeed, plain.TestBySeed))
				matched[i] = append(matched[i], minus(atPlainRate, plain.TestBySeed))
				gain := table1Gain{Algorithm: pair[1], Chosen: stats.Mean95(last(chosen[i])),
					Matched: stats.Mean95(last(matched[i]))}
				if gd, gdm := table1Paper(teacher, student); i == 0 && gd > 0 {
					difference := gdm - gd
					plain.Paper, momentum.Paper, gain.Paper = gd, gdm, &difference
				}
				cell.Scores = append(cell.Scores, plain, momentum)
				cell.Gains = append(cell.Gains, gain)
			}
			r.Cells = append(r.Cells, cell)
		}
	}
	for i, pair := range table1Algorithms() {
		r.Overall = append(r.Overall, table1Gain{
			Algorithm: pair[1], Chosen: stats.Mean95(meanBySeed(chosen[i])),
			Matched: stats.Mean95(meanBySeed(matched[i])),
		})
	}
	return r
}

// score chooses the rate of an algorithm.
func (s table1Settings) score(lanes []table1Lane, teacher, algorithm string) table1Score {
	score := table1Score{Algorithm: algorithm}
	for i, rate := range s.Rates {
		tried := lanesOf(lanes, teacher, algorithm, rate)
		test := testBySeed(tried)
		var valid, trainingError, loss float64
		for _, l := range tried {
			if l.Diverged {
				score.Diverged++
			}
			n := float64(len(tried))
			valid, trainingError, loss = valid+100*l.ValidAccuracy/n,
				trainingError+100*l.TrainingError/n, loss+l.TrainingLoss/n
		}
		if test != nil && (score.Rate == 0 || valid > score.Valid) {
			score.Rate, score.AtEdge = rate, i == 0 || i == len(s.Rates)-1
			score.Valid, score.TrainingError, score.TrainingLoss = valid, trainingError, loss
			score.TestBySeed, score.Test = test, stats.Mean95(test)
		}
	}
	return score
}

// lanesOf are the lanes of a trial, by seed.
func lanesOf(lanes []table1Lane, teacher, algorithm string, rate float64) []table1Lane {
	var found []table1Lane
	for _, l := range lanes {
		if l.Teacher == teacher && l.Algorithm == algorithm && l.Rate == rate {
			found = append(found, l)
		}
	}
	slices.SortFunc(found, func(a, b table1Lane) int { return cmp.Compare(a.Seed, b.Seed) })
	return found
}

// testBySeed are test accuracies in percent, nil if a lane diverged.
func testBySeed(lanes []table1Lane) []float64 {
	var test []float64
	for _, l := range lanes {
		if l.Diverged {
			return nil
		}
		test = append(test, 100*l.TestAccuracy)
	}
	return test
}

// minus is a − b for each seed, nil if either is missing.
func minus(a, b []float64) []float64 {
	if a == nil || b == nil {
		return nil
	}
	difference := make([]float64, len(a))
	for i := range a {
		difference[i] = a[i] - b[i]
	}
	return difference
}

// meanBySeed averages over cells, leaving out those that are missing.
func meanBySeed(cells [][]float64) []float64 {
	cells = slices.DeleteFunc(slices.Clone(cells), func(c []float64) bool { return c == nil })
	if len(cells) == 0 {
		return nil
	}
	mean := make([]float64, len(cells[0]))
	for _, c := range cells {
		for i, x := range c {
			mean[i] += x / float64(len(cells))
		}
	}
	return mean
}

func last[T any](s []T) T { return s[len(s)-1] }

// writeCSV writes a row for each teacher, student and algorithm. What is missing is empty.
func (r table1Result) writeCSV(w io.Writer) error {
	c := csv.NewWriter(w)
	c.Write([]string{"teacher", "student", "algorithm", "rate", "rate_at_edge", "valid_percent",
		"test_percent", "test_half", "seeds",
		"training_error_percent", "training_loss", "diverged_lanes", "paper_percent", "gain",
		"gain_half", "matched_gain", "matched_gain_half", "paper_gain"})
	number := func(x float64, known bool) string {
		if !known {
			return ""
		}
		return fmt.Sprintf("%.6g", x)
	}
	for _, cell := range r.Cells {
		for i, s := range cell.Scores {
			has := s.Rate > 0
			row := []string{cell.Teacher, cell.Student, s.Algorithm, number(s.Rate, has),
				fmt.Sprint(s.AtEdge), number(s.Valid, has),
				number(s.Test.Mean, has), number(s.Test.Half, s.Test.N > 1), fmt.Sprint(s.Test.N),
				number(s.TrainingError, has),
				number(s.TrainingLoss, has), fmt.Sprint(s.Diverged), number(s.Paper, s.Paper > 0)}
			gain := table1Gain{}
			if i%2 == 1 {
				gain = cell.Gains[i/2]
			}
			for _, g := range []stats.Interval{gain.Chosen, gain.Matched} {
				row = append(row, number(g.Mean, g.N > 0), number(g.Half, g.N > 1))
			}
			paper := ""
			if gain.Paper != nil {
				paper = number(*gain.Paper, true)
			}
			c.Write(append(row, paper))
		}
	}
	c.Flush()
	return c.Error()
}

// writeMarkdown writes the table of the paper's form beside the paper's, the differences, and what
// was chosen.
func (r table1Result) writeMarkdown(w io.Writer) error {
	s, out := r.Settings, &strings.Builder{}
	fmt.Fprintf(out, "# Table 1: Gaussian data, where momentum should make no difference\n\n"+
		"%d training and %d test points from N(0, I) in dimension %d; labels: sign of a random "+
		"teacher's output minus its median. %d epochs; batches of %d\n"+
		"for SGD and SGD+M; momentum in the damped form, γ = %g, so that equal rates are equal "+
		"effective rates. Students: hidden layers of %d units,\n"+
		"%d filters of size %d; teachers: %d units, %d filters. Each algorithm has the rate out "+
		"of %v with the best accuracy on %d other points.\n"+
		"%d seeds, each with its own points, teacher, initial weights and order; mean ± 95%% t "+
		"interval.\n",
		s.Train, s.Test, s.D, s.Epochs, s.Batch, s.Gamma, s.MLPWidth, s.Filters, s.FilterSize,
		s.TeacherWidth, s.TeacherFilters, s.Rates, s.Valid, s.Seeds)
	table := func(title string, text func(table1Cell) string) {
		fmt.Fprintf(out, "\n## %s\n\n| teacher \\ student | %s |\n|---|%s\n", title,
			strings.Join(s.Students, " | "), strings.Repeat("---|", len(s.Students)))
		for i, cell := range r.Cells {
			if i%len(s.Students) == 0 {
				fmt.Fprintf(out, "| %s |", cell.Teacher)
			}
			fmt.Fprintf(out, " %s |", text(cell))
			if (i+1)%len(s.Students) == 0 {
				fmt.Fprintln(out)
			}
		}
	}
	for i, name := range []string{"GD / GD+M", "SGD / SGD+M"} {
		table("Test accuracy, %: "+name, func(c table1Cell) string {
			return percent(c.Scores[2*i].Test, "%.2f") + " / " +
				percent(c.Scores[2*i+1].Test, "%.2f")
		})
	}
	table("The paper's: GD / GD+M", func(c table1Cell) string {
		if c.Scores[0].Paper == 0 {
			return "none"
		}
		return fmt.Sprintf("%.2f / %.2f", c.Scores[0].Paper, c.Scores[1].Paper)
	})
	for i, name := range []string{"GD+M minus GD", "SGD+M minus SGD"} {
		clear := 0
		table(name+", points, paired by seed", func(c table1Cell) string {
			g := c.Gains[i]
			if g.Chosen.N > 1 && math.Abs(g.Chosen.Mean) > g.Chosen.Half {
				clear++
			}
			text := percent(g.Chosen, "%+.2f")
			if g.Paper != nil {
				text += fmt.Sprintf(" (paper %+.2f)", *g.Paper)
			}
			return text
		})
		fmt.Fprintf(out, "\nOver all cells: %s, and %s with both at the rate chosen without "+
			"momentum. 0 is outside of %d of %d intervals; about 1 in 20\n"+
			"would be so by chance.\n", percent(r.Overall[i].Chosen, "%+.2f"),
			percent(r.Overall[i].Matched, "%+.2f"), clear, len(r.Cells))
	}
	fmt.Fprintf(out, "\n## Chosen rates and training errors\n\n"+
		"The rate (* at the edge of what was tried), training error in %%, and the number of "+
		"diverged lanes, if any.\n\n"+
		"| teacher | student | GD | GD+M | SGD | SGD+M |\n|---|---|---|---|---|---|\n")
	for _, c := range r.Cells {
		fmt.Fprintf(out, "| %s | %s |", c.Teacher, c.Student)
		for _, score := range c.Scores {
			text := "none"
			if score.Rate > 0 {
				text = fmt.Sprintf("%g%s: %.1f", score.Rate,
					map[bool]string{true: "*"}[score.AtEdge], score.TrainingError)
			}
			if score.Diverged > 0 {
				text += fmt.Sprintf(", %d diverged", score.Diverged)
			}
			fmt.Fprintf(out, " %s |", text)
		}
		fmt.Fprintln(out)
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// percent is an interval of percentages with its mean in the given format, "none" without values.
func percent(i stats.Interval, format string) string {
	switch i.N {
	case 0:
		return "none"
	case 1:
		return fmt.Sprintf(format, i.Mean)
	}
	return fmt.Sprintf(format+" ± %.2f", i.Mean, i.Half)
}
