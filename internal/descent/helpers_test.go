package descent

import (
	"flag"
	"math"
	"os"
	"strconv"
	"testing"

	"momentum/datasets"
	"momentum/internal/backend"
	"momentum/internal/backend/backendtest"
	"momentum/internal/seeds"
	"momentum/models"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.bench").Value.String() == "" { // a benchmark is of the code that users run
		backendtest.CompileQuickly()
	}
	os.Exit(m.Run())
}

// goBackend opens the Go backend, which runs on every machine.
func goBackend(t testing.TB) *backend.Backend { return goDevices(t, 1) }

// goDevices opens the Go backend with several devices, on any number of cores.
func goDevices(t testing.TB, devices int) *backend.Backend {
	t.Helper()
	t.Setenv("NPROC", strconv.Itoa(devices))
	b, err := backend.Open(t.Context(), "go", backend.Options{Devices: devices})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// imageSet returns n random images with the labels 0, 1, 2, 0, ….
func imageSet(n int) *datasets.Images {
	rng := seeds.Stream(1, "test images")
	set := &datasets.Images{Classes: 3, Pixels: make([]uint8, n*imageBytes),
		Labels: make([]uint8, n), Mean: [3]float32{0.5, 0.45, 0.4}, Std: [3]float32{0.25, 0.2, 0.3}}
	for i := range set.Pixels {
		set.Pixels[i] = uint8(rng.UintN(256))
	}
	for i := range set.Labels {
		set.Labels[i] = uint8(i % 3)
	}
	return set
}

// uploaded copies images to the devices.
func uploaded(t testing.TB, b *backend.Backend, set *datasets.Images, l Layout) *Data {
	t.Helper()
	d, err := NewData(b, set, l)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// images copies n random images to the devices, in chunks, with random access.
func images(t testing.TB, b *backend.Backend, n, chunk int) *Data {
	t.Helper()
	return uploaded(t, b, imageSet(n), Layout{Chunk: chunk, Random: true})
}

// trainer trains a network on the given images in float64, so that an error stands out from
// rounding.
func trainer(t testing.TB, b *backend.Backend, d *Data, c models.Config, rule Rule) *Trainer {
	t.Helper()
	return trainerIn(t, F64, b, d, c, rule)
}

func trainerIn(t testing.TB, p Precision, b *backend.Backend, d *Data, c models.Config,
	rule Rule) *Trainer {
	t.Helper()
	c.Classes = 3
	net, err := models.New(c)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := NewTrainer(b, net, rule, d, Options{Precision: p, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// tiny is the smallest network with a block of each kind.
var tiny = models.Config{Model: "wrn16-1", Width: 2, Norm: "none"}

// steps takes n steps and returns their losses.
func steps(t testing.TB, tr *Trainer, n int, eta float64) (losses []float64) {
	t.Helper()
	for range n {
		s, err := tr.Step(t.Context(), eta)
		if err != nil {
			t.Fatalf("%+v", err)
		}
		losses = append(losses, s.Loss)
	}
	return losses
}

// values returns the values of parameter i on the first device.
func (t *Trainer) values(i int) []float64 { return backend.Floats(t.replicas[0].weights[i]) }

// weights returns all parameters, one after the other.
func (t *Trainer) weights() (all []float64) {
	for i := range t.params {
		all = append(all, t.values(i)...)
	}
	return all
}

// set replaces the values of parameter i on all devices.
func (t *Trainer) set(i int, values []float64) {
	for _, r := range t.replicas {
		r.weights[i] = tensorOf(t.Precision, values, t.params[i].Shape...)
	}
}

// distance is the largest difference of two lists, relative to the largest value of a.
func distance(a, b []float64) float64 {
	largest, difference := 0.0, 0.0
	for i := range a {
		largest = max(largest, math.Abs(a[i]))
		difference = max(difference, math.Abs(a[i]-b[i]))
	}
	return difference / largest
}
