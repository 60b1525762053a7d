package models

import (
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"momentum/internal/backend/backendtest"
)

func network(t *testing.T, c Config) *Network {
	t.Helper()
	n, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestMain(m *testing.M) {
	backendtest.CompileQuickly()
	os.Exit(m.Run())
}

func TestParameterCounts(t *testing.T) {
	for _, c := range []struct {
		config Config
		want   int
		source string
	}{
		{Config{Model: "resnet18", Width: 64, Norm: "batch", Classes: 10}, 11_173_962,
			"the widely used CIFAR ResNet-18 with batch normalization"},
		{Config{Model: "resnet18", Width: 64, Norm: "batch", Classes: 100}, 11_220_132,
			"the same with a head of 512·100+100 in place of 512·10+10"},
		// Batch normalization has 2 values for each of the 4,800 channels, a bias 1: 64·5 + 128·5 +
		// 256·5 + 512·5 = 4,800.
		{Config{Model: "resnet18", Width: 64, Norm: "none", Classes: 10}, 11_173_962 - 4_800,
			"the same with biases in place of normalization"},
		{Config{Model: "wrn16-8", Width: 16, Norm: "batch", Classes: 10}, 10_961_370,
			"WRN-16-8: 11.0M in Zagoruyko and Komodakis (2016), table 5"},
		{Config{Model: "wrn16-4", Width: 16, Norm: "batch", Classes: 10}, 2_748_890,
			"WRN-16-4: 2.7M"},
		// The convolutions of VGG-19 have 64·2 + 128·2 + 256·4 + 512·8 = 5,504 channels, and
		// 9·(3·64 + 64·64 + 64·128 + 128² + 128·256 + 3·256² + 256·512 + 7·512²) = 20,018,880
		// weights, its head 512·10+10 = 5,130. pytorch-cifar's has biases and batch normalization.
		{Config{Model: "vgg19", Width: 64, Norm: "batch", Classes: 10}, 20_040_522 - 5_504,
			"kuangliu/pytorch-cifar's VGG19 without the biases that normalization takes out"},
		{Config{Model: "vgg19", Width: 64, Norm: "none", Classes: 10}, 20_018_880 + 5_504 + 5_130,
			"with biases alone"},
		{Config{Model: "vgg19", Width: 64, Norm: "none", Classes: 100}, 20_018_880 + 5_504 + 51_300,
			"the same with a head of 512·100+100"},
	} {
		if got := network(t, c.config).NumParams(); got != c.want {
			t.Errorf("%+v: %d parameters, want %d (%s)", c.config, got, c.want, c.source)
		}
	}
}

func TestFLOPs(t *testing.T) {
	// ResNet-18 on 32×32 images has 0.5559 G multiply-adds (0.56 in the literature): by stages
	// 32²·9·64·(3+4·64) and so on.
	stage := func(size, in, out float64) float64 {
		// conv1, three more 3×3, and the 1×1 shortcut
		return size * size * (9*in*out + 3*9*out*out + in*out)
	}
	macs := 1024*9*64*(3+4*64.0) + stage(16, 64, 128) + stage(8, 128, 256) + stage(4, 256, 512) +
		5120
	resnet := network(t, Config{Model: "resnet18", Width: 64, Norm: "none", Classes: 10})
	forward, step := resnet.FLOPs()
	if forward != 2*macs {
		t.Errorf("forward %v, want %v", forward, 2*macs)
	}
	if want := 6*macs - 2*1024*9*64*3; step != want {
		t.Errorf("step %v, want %v", step, want)
	}
	// VGG-19 has 0.40 G: by stages 32²·9·64·(3+64) and so on. Its convolutions give 2·32²·64,
	// 2·16²·128, 4·8²·256, 4·4²·512 and 4·2²·512 values.
	vgg := network(t, Config{Model: "vgg19", Width: 64, Norm: "none", Classes: 10})
	macs = 1024*9*64*(3+64.0) + 256*9*128*(64+128.0) + 64*9*256*(128+3*256.0) +
		16*9*512*(256+3*512.0) + 4*9*512*4*512.0 + 5120
	forward, step = vgg.FLOPs()
	if forward != 2*macs || step != 6*macs-2*1024*9*64*3 {
		t.Errorf("VGG-19: forward %v and step %v, want %v and %v", forward, step, 2*macs,
			6*macs-2*1024*9*64*3)
	}
	if got, want := vgg.ActivationValues(), 131_072+65_536+65_536+32_768+8_192; got != want {
		t.Errorf("VGG-19: %d values, want %d", got, want)
	}
}

func TestDefaultWidth(t *testing.T) {
	widths := map[string]int{"resnet18": 64, "vgg19": 64, "wrn16-1": 16, "wrn16-8": 16}
	for model, want := range widths {
		if got := DefaultWidth(model); got != want {
			t.Errorf("%s: %d, want %d", model, got, want)
		}
	}
}

func TestTitle(t *testing.T) {
	titles := map[string]string{"resnet18": "ResNet-18", "vgg19": "VGG-19",
		"wrn16-4": "WideResNet-16-4"}
	for model, want := range titles {
		if got := Title(model); got != want {
			t.Errorf("%s: %s, want %s", model, got, want)
		}
	}
}

func TestInit(t *testing.T) {
	n := network(t, Config{Model: "resnet18", Width: 16, Norm: "none", Classes: 10,
		BranchScale: scale(0.3)})
	values, params := n.Init(3), n.Params()
	spread := func(name string) float64 {
		i := slices.IndexFunc(params, func(p Param) bool { return p.Name == name })
		sum := 0.0
		for _, x := range values[i] {
			sum += float64(x) * float64(x)
		}
		return math.Sqrt(sum / float64(len(values[i])))
	}
	// Standard deviations over thousands of draws, to 3%.
	for name, want := range map[string]float64{
		"stage4/block2/conv1/weights":    math.Sqrt(2.0 / (9 * 128)),
		"stage4/block2/conv2/weights":    math.Sqrt(2.0/(9*128)) * 0.3,
		"stage4/block1/shortcut/weights": math.Sqrt(2.0 / 64),
		"head/weights":                   math.Sqrt(1.0 / 128),
		"stage4/block1/conv1/biases":     0,
	} {
		if got := spread(name); math.Abs(got-want) > 0.03*want {
			t.Errorf("%s: standard deviation %v, want %v", name, got, want)
		}
	}
	for i, p := range params {
		if !strings.HasSuffix(p.Name, "/weights") || p.Name == "stem/weights" {
			continue
		}
		out := p.Shape[len(p.Shape)-1]
		sum, size := 0.0, 0.0
		for j := 0; j < len(values[i]); j += out { // the first output channel
			sum += float64(values[i][j])
			size += math.Abs(float64(values[i][j]))
		}
		if math.Abs(sum) > 1e-6*size {
			t.Errorf("%s: weights of an output channel sum to %v, want 0", p.Name, sum)
		}
	}
	if !slices.EqualFunc(values, n.Init(3), slices.Equal) {
		t.Error("the same seed gives other weights")
	}
	if slices.EqualFunc(values, n.Init(4), slices.Equal) {
		t.Error("another seed gives the same weights")
	}
	w := network(t, Config{Model: "wrn16-2", Width: 4, Norm: "batch", Classes: 10})
	name, first := w.Params()[1].Name, w.Init(1)[1][0]
	if *w.BranchScale != 1/math.Sqrt(6) || name != "stage1/block1/norm1/scale" || first != 1 {
		t.Errorf("branch scale %v, want 1/√6; initial %s %v, want stage1/block1/norm1/scale 1",
			*w.BranchScale, name, first)
	}
}

// scale is a pointer to x.
func scale(x float64) *float64 { return &x }

func TestNewRefuses(t *testing.T) {
	good := Config{Model: "resnet18", Width: 16, Norm: "none", Classes: 10}
	for want, change := range map[string]func(*Config){
		"unknown model":            func(c *Config) { c.Model = "resnet19" },
		"the widening factor must": func(c *Config) { c.Model = "wrn16-x" },
		"[1, 64]":                  func(c *Config) { c.Model = "wrn16-0" },
		"width must be":            func(c *Config) { c.Width = 0 },
		"norm must be":             func(c *Config) { c.Norm = "layer" },
		"classes must be":          func(c *Config) { c.Classes = 1 },
		"branch scale must be": func(c *Config) {
			c.BranchScale = scale(math.NaN())
		},
		"init must be": func(c *Config) { c.Initialization = "xavier" },
		"without normalization": func(c *Config) {
			c.Norm, c.Initialization = "weights", "fixup"
		},
		"vgg19 has none": func(c *Config) {
			c.Model, c.Initialization = "vgg19", "skipinit"
		},
		"no residual branches": func(c *Config) {
			c.Model, c.BranchScale = "vgg19", scale(0.3)
		},
	} {
		c := good
		change(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want an error with %q", c, err, want)
		}
	}
}

// Every initialization has the standard deviations of its definition, to 4%, and starts the gains
// where it says.
func TestInitializations(t *testing.T) {
	fan := func(n float64) float64 { return 1 / math.Sqrt(n) }
	for _, c := range []struct {
		norm, init                        string
		conv1, conv2, head, biases, gains float64 // gains: of a branch, −1 without one
	}{
		{"none", "he", math.Sqrt2 * fan(9*128), math.Sqrt2 * fan(9*128), fan(128), 0, -1},
		{"none", "pytorch", fan(3 * 9 * 128), fan(3 * 9 * 128), fan(3 * 128), fan(3 * 9 * 128), -1},
		{"none", "skipinit", math.Sqrt2 * fan(9*128), math.Sqrt2 * fan(9*128), fan(128), 0, 0},
		{"none", "fixup", math.Sqrt2 * fan(9*128) / math.Sqrt(8), 0, 0, 0, 1},
		{"weights", "centered", math.Sqrt2 * fan(9*128), math.Sqrt2 * fan(9*128), fan(128), 0, 0.2},
	} {
		n := network(t, Config{Model: "resnet18", Width: 16, Norm: c.norm, Initialization: c.init,
			Classes: 10})
		values := map[string][]float32{}
		for i, v := range n.Init(3) {
			values[n.Params()[i].Name] = v
		}
		const block = "stage4/block2"
		for name, want := range map[string]float64{block + "/conv1/weights": c.conv1,
			block + "/conv2/weights": c.conv2, "head/weights": c.head,
			block + "/conv1/biases": c.biases} {
			square := 0.0
			for _, x := range values[name] {
				square += float64(x) * float64(x)
			}
			got, tolerance := math.Sqrt(square/float64(len(values[name]))), 0.04
			if len(values[name]) < 1000 {
				tolerance = 0.2
			}
			if len(values[name]) == 0 || math.Abs(got-want) > tolerance*want {
				t.Errorf("%s, %s: %s has standard deviation %v, want %v", c.norm, c.init, name,
					got, want)
			}
		}
		if c.init == "pytorch" { // uniform: nothing lies beyond √3 standard deviations
			for _, x := range values[block+"/conv1/weights"] {
				if math.Abs(float64(x)) > math.Sqrt(3)*c.conv1 {
					t.Fatalf("%s: a weight of %v, want at most %v", c.init, x, math.Sqrt(3)*c.conv1)
				}
			}
		}
		gain, ok := values[block+"/gain"]
		if ok != (c.gains >= 0) || ok && gain[0] != float32(c.gains) {
			t.Errorf("%s, %s: the branch's gain is %v, want %v", c.norm, c.init, gain, c.gains)
		}
	}
}
