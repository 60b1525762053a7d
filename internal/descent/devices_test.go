package descent

import (
	"math"
	"slices"
	"strconv"
	"testing"

	"momentum/internal/backend"
	"momentum/internal/backend/backendtest"
	"momentum/models"
)

// Law: the number of devices changes no bit. 11 images in chunks of 2 are 6 chunks, the last with a
// filler, in 4 parts of 1, 2, 1 and 2 chunks. Two devices hold 2 parts each. Of three devices,
// which hold 1, 1 and 2, the sums of the first two meet first, as the tree demands. XLA on a CPU
// keeps this law with two threads or more, and the backend sees to that.
func TestDevicesChangeNothing(t *testing.T) {
	rule := Rule{Form: Damped, Gamma: 0.9, WeightDecay: 0.01}
	run := func(b *backend.Backend, p Precision) (stats []Stats, score Score, weights []float64) {
		d := uploaded(t, b, imageSet(11), Layout{Chunk: 2})
		tr := trainerIn(t, p, b, d, tiny, rule)
		for range 3 {
			s, err := tr.Step(t.Context(), 0.1)
			if err != nil {
				t.Fatal(err)
			}
			stats = append(stats, s)
		}
		score, err := tr.Evaluate(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range tr.replicas {
			for j, w := range r.weights {
				if !slices.Equal(backend.Floats(w), tr.values(j)) {
					t.Errorf("%s differs on device %d", tr.params[j].Name, i+1)
				}
			}
		}
		return stats, score, tr.weights()
	}
	check := func(open func(devices int) *backend.Backend, p Precision, numbers ...int) {
		stats, score, weights := run(open(1), p)
		for _, devices := range numbers {
			gotStats, gotScore, gotWeights := run(open(devices), p)
			if !slices.Equal(gotStats, stats) || gotScore != score ||
				!slices.Equal(gotWeights, weights) {
				t.Errorf("%s, %d devices: steps %+v, then %+v; want %+v, then %+v of one device",
					p, devices, gotStats, gotScore, stats, score)
			}
		}
	}
	goBackend := func(devices int) *backend.Backend { return goDevices(t, devices) }
	check(goBackend, F64, 2, 3, 4, 5) // the fifth device has no part
	defaultBackend := func(devices int) *backend.Backend { return backendtest.Devices(t, devices) }
	check(defaultBackend, F32, 2, 3)
}

// Many devices, and so many threads of XLA, change a step of larger networks by rounding at most:
// on processors with AVX2, three threads and more divide some products in another way.
func TestThreadsChangeRoundingOnly(t *testing.T) {
	for _, c := range []models.Config{{Model: "resnet18", Width: 8, Norm: "none"},
		{Model: "vgg19", Width: 4, Norm: "none"}} {
		var want []float64
		for _, devices := range []int{1, 8} {
			b := *backendtest.Devices(t, devices)
			b.Devices = b.Devices[:1]
			tr := trainerIn(t, F32, &b, images(t, &b, 32, 32), c, Rule{Form: Undamped})
			steps(t, tr, 1, 0.1)
			if got := tr.weights(); want == nil {
				want = got
			} else if d := distance(want, got); d > 1e-6 {
				t.Errorf("%s: weights differ by %g", c.Model, d)
			}
		}
	}
}

// A checkpoint of two devices goes on with three as if nothing had happened.
func TestResumeWithOtherDevices(t *testing.T) {
	rule := Rule{Form: Undamped, Gamma: 0.9}
	newTrainer := func(devices int) *Trainer {
		b := goDevices(t, devices)
		return trainer(t, b, uploaded(t, b, imageSet(7), Layout{Chunk: 2}), tiny, rule)
	}
	two := newTrainer(2)
	steps(t, two, 2, 0.1)
	dir := t.TempDir()
	if err := two.Save(dir, nil); err != nil {
		t.Fatal(err)
	}
	three := newTrainer(3)
	if _, _, err := three.Load(dir); err != nil {
		t.Fatal(err)
	}
	if a, b := steps(t, two, 2, 0.1), steps(t, three, 2, 0.1); !slices.Equal(a, b) ||
		!slices.Equal(two.weights(), three.weights()) {
		t.Errorf("losses %v after loading, want %v", b, a)
	}
}

// Fillers count for nothing, even where the network knows no bounds: a ragged last chunk gives the
// same step.
func TestFillersCountForNothing(t *testing.T) {
	b := goBackend(t)
	rule := Rule{Form: Undamped, Gamma: 0.9}
	filled := trainer(t, b, uploaded(t, b, imageSet(5), Layout{Chunk: 4}), tiny, rule)
	ragged := trainer(t, b, uploaded(t, b, imageSet(5), Layout{Chunk: 4, Ragged: true}), tiny, rule)
	if e := distance(steps(t, ragged, 3, 0.1), steps(t, filled, 3, 0.1)); e > 1e-12 {
		t.Errorf("losses differ by %g", e)
	}
	if e := distance(ragged.weights(), filled.weights()); e > 1e-12 {
		t.Errorf("weights differ by %g", e)
	}
}

// The tree adds ((0+1)+(2+3)) + ((4+5)+(6+7)), wherever it is cut.
func TestTree(t *testing.T) {
	add := func(a, b string) string { return "(" + a + "+" + b + ")" }
	sum := func(from, to int) tree[string] {
		tr := tree[string]{add: add}
		for i := from; i < to; i++ {
			tr.push(node[string]{0, i, strconv.Itoa(i)})
		}
		return tr
	}
	for size := 1; size <= 16; size *= 2 {
		want := sum(0, size).nodes[0].value
		for cut := range size {
			for cut2 := cut; cut2 <= size; cut2++ {
				all := sum(0, cut)
				left := len(all.nodes)
				for _, n := range slices.Concat(sum(cut, cut2).nodes, sum(cut2, size).nodes) {
					all.push(n)
				}
				if len(all.nodes) != 1 || all.nodes[0].value != want {
					t.Errorf("%d values cut at %d and %d: %v, want %s", size, cut, cut2, all.nodes,
						want)
				}
				if limit := 1 + int(math.Log2(float64(size))); left > limit {
					t.Errorf("%d sums of the first %d values, want at most %d", left, cut, limit)
				}
			}
		}
	}
	if got := sum(0, 8).nodes[0].value; got != "(((0+1)+(2+3))+((4+5)+(6+7)))" {
		t.Error(got)
	}
}
