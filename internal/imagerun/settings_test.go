package imagerun

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"momentum/datasets"
	"momentum/internal/backend"
	"momentum/internal/descent"
)

// randomConfig draws each field from values of which some are right, so that many configurations
// are valid and many are not. wrong is the number of fields that may be out of range.
func randomConfig(r *rand.Rand, wrong int) Config {
	text := func(right ...string) string { return right[r.IntN(len(right))] }
	number := func(right ...float64) float64 { return right[r.IntN(len(right))] }
	whole := func(right ...int) int { return right[r.IntN(len(right))] }
	c := Preset(text("tiny", "quick", "paper"), text("gd", "gdm", "sgd", "sgdm"))
	c.Data, c.Model = text(datasets.Names()...), text("resnet18", "vgg19", "wrn16-2")
	c.Images, c.Holdout, c.Width = whole(0, 7), whole(0, 5), whole(0, 1, 8)
	c.SmallMargin, c.SmallMarginFactor = number(0, 0.1, 0.9), whole(1, 2, 32)
	c.SmallMarginNoise, c.SmallMarginSeed = number(1e-9, 1), uint64(whole(1, 2))
	c.SmallMarginShuffle = text(datasets.Shuffles()...)
	c.Norm, c.Form, c.GhostBatch = text("none", "batch"), text("damped", "undamped"), whole(0, 3)
	c.Momentum, c.Chunk, c.Batch = number(0, 0.5), whole(5, 10), whole(1, 16)
	c.Schedule, c.Precision = text("constant", "cosine", "step"), text("f32", "bf16")
	c.Warmup, c.EvalEvery = whole(0, 1), whole(0, 2)
	for range wrong {
		field := reflect.ValueOf(&c.Settings).Elem()
		switch field = field.Field(r.IntN(field.NumField())); field.Kind() {
		case reflect.String:
			field.SetString(text("", "unknown"))
		case reflect.Int:
			field.SetInt(int64(whole(-1, 0, 3)))
		case reflect.Uint64:
			field.SetUint(0)
		case reflect.Float64:
			field.SetFloat(number(-1, 0, 1, math.Inf(1)))
		}
	}
	return c
}

// Validate changes nothing. Normalize changes nothing a second time, and afterwards a valid
// configuration is one that config.json can hold.
func TestNormalizeAndValidate(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 0))
	valid, invalid := 0, 0
	for range 3000 {
		c := randomConfig(r, r.IntN(3))
		before := c
		c.Validate()
		if c != before {
			t.Fatalf("Validate has changed\n%+v into\n%+v", before, c)
		}
		c.Normalize()
		once := c
		if c.Normalize(); c != once {
			t.Fatalf("Normalize has changed\n%+v into\n%+v", once, c)
		}
		if err := c.Validate(); c != once {
			t.Fatalf("Validate has changed\n%+v into\n%+v", once, c)
		} else if err != nil {
			invalid++
			continue
		}
		valid++
		text, err := json.Marshal(map[string]any{"settings": c.Settings, "execution": c.Execution})
		if err != nil {
			t.Fatal(err)
		}
		file, err := parseSettingsFile("file", text)
		if err != nil {
			t.Fatal(err)
		}
		again := Preset("tiny", "gdm")
		if err := file.decode(&again); err != nil {
			t.Fatal(err)
		}
		if again.Normalize(); again != c {
			t.Fatalf("read back:\ngot  %+v\nwant %+v", again, c)
		}
	}
	if valid < 500 || invalid < 500 {
		t.Errorf("%d valid and %d invalid configurations, want at least 500 of each", valid,
			invalid)
	}
}

// Settings without effect give no other name: Normalize clears them.
func TestNormalizeGivesOneName(t *testing.T) {
	for _, tt := range []struct {
		name    string
		opt     string
		changes func(c *Config)
	}{
		{"the network's own width", "gdm", func(c *Config) { c.Width = 64 }},
		{"small-margin settings without a share", "gdm", func(c *Config) {
			c.SmallMarginFactor, c.SmallMarginNoise, c.SmallMarginShuffle = 4, 1, "fixed"
			c.SmallMarginSeed = 3
		}},
		{"momentum of GD", "gd", func(c *Config) { c.Momentum = 0.5 }},
		{"the form of GD", "gd", func(c *Config) { c.Form = "damped" }},
		{"the form of SGD", "sgd", func(c *Config) { c.Form = "damped" }},
		{"the batch of GD+M", "gdm", func(c *Config) { c.Batch = 32 }},
		{"the chunk of another normalization", "gdm", func(c *Config) { c.GhostBatch = 5 }},
		{"the chunk", "gdm", func(c *Config) { c.Chunk = 5 }},
	} {
		want, got := Preset("paper", tt.opt), Preset("paper", tt.opt)
		tt.changes(&got)
		want.Normalize()
		got.Normalize()
		wantName, err1 := want.Name()
		gotName, err2 := got.Name()
		if got.Settings != want.Settings || gotName != wantName || err1 != nil || err2 != nil {
			t.Errorf("%s: %s, %v, want %s", tt.name, gotName, err2, wantName)
		}
	}
	// With batch normalization the chunk has an effect.
	one, two := Preset("paper", "gdm"), Preset("paper", "gdm")
	one.Norm, one.Chunk, two.Norm, two.Chunk = "batch", 5, "batch", 6
	one.Normalize()
	two.Normalize()
	if one.Settings == two.Settings {
		t.Errorf("chunks of 5 and of 6 give the same settings %+v", one.Settings)
	}
}

// In bf16 and tf32 a GPU takes twice the images of f32 at once, unless -chunk says how many.
func TestFullChunk(t *testing.T) {
	for _, c := range []struct {
		kind      backend.Kind
		precision string
		chunk     int
		want      int
	}{
		{backend.CUDA, "f32", 0, 1000}, {backend.CUDA, "tf32", 0, 2000},
		{backend.CUDA, "bf16", 0, 2000}, {backend.CUDA, "bf16", 7, 7},
		{backend.CPU, "bf16", 0, 32}, {backend.Go, "f32", 0, 16},
	} {
		var config Config
		config.Precision, config.Chunk = c.precision, c.chunk
		if got := config.fullChunk(c.kind); got != c.want {
			t.Errorf("%s %s -chunk=%d: %d images, want %d", c.kind, c.precision, c.chunk, got,
				c.want)
		}
		if got := config.chunk(c.kind, 5); got != 5 {
			t.Errorf("%d images at once, want the 5 that there are", got)
		}
	}
}

// A run opens no more devices than a batch has parts: a power of two, at most 32. Without -images
// they are those of all images that are not held out.
func TestUsefulDevices(t *testing.T) {
	for _, c := range []struct {
		kind backend.Kind
		args string
		want int
	}{
		{backend.CUDA, "-preset=paper", 32},                                 // 50 chunks of 1000
		{backend.CUDA, "-preset=paper -precision=bf16", 16},                 // 25
		{backend.CPU, "-preset=quick", 16},                                  // 16 of 32
		{backend.CPU, "-preset=quick -images=0 -holdout=744", 8},            // of 256 images
		{backend.CPU, "-preset=quick -images=100", 4},                       // 4, one of 4 images
		{backend.CPU, "-preset=quick -opt=sgdm -images=0 -batch=64", 2},     // 2
		{backend.CPU, "-preset=quick -images=0 -holdout=744 -chunk=128", 2}, // 2
		{backend.Go, "-preset=tiny -images=0", 32},                          // 63 of 16
	} {
		cmd, err := ParseCommand(strings.Fields(c.args))
		if err != nil {
			t.Fatal(err)
		}
		if got := cmd.useful(c.kind); got != c.want {
			t.Errorf("%s %s: %d devices, want %d", c.kind, c.args, got, c.want)
		}
	}
}

// Devices without work are named, and a smaller chunk is advised only where it makes more parts.
func TestIdleDevices(t *testing.T) {
	for _, c := range []struct {
		images, devices int
		want            string
	}{
		{512, 32, ""}, // 16 images a part
		{512, 40, "; 32 of them have work, the most that share a batch"},
		{20, 3, "; 2 of them have work, since the chunks of 8 images make 2 parts: a smaller " +
			"-chunk makes more"},
		{8, 2, "; 1 of them has work, since the chunks of 8 images make 1 part: a smaller " +
			"-chunk makes more"},
	} {
		r := &experiment{chunk: 8, train: &descent.Data{N: c.images},
			backend: &backend.Backend{Devices: make([]backend.Device, c.devices)}}
		if got := r.idle(); got != c.want {
			t.Errorf("%d images on %d devices: %q, want %q", c.images, c.devices, got, c.want)
		}
	}
}

// A GPU has hardly any fillers: 2,048 images take 3 calls of 683 in f32, and 2 of 1,024 in bf16. On
// a CPU, where a filled chunk costs little, the chunk is the same for any number of images.
func TestEvenChunks(t *testing.T) {
	for _, c := range []struct {
		kind         backend.Kind
		precision    string
		chunk, batch int
		train, want  int
	}{
		{backend.CUDA, "f32", 0, 0, 2048, 683}, {backend.CUDA, "bf16", 0, 0, 2048, 1024},
		{backend.CUDA, "f32", 0, 0, 50000, 1000}, {backend.CUDA, "tf32", 0, 0, 50000, 2000},
		{backend.CUDA, "f32", 0, 1500, 50000, 750}, {backend.CUDA, "bf16", 0, 1500, 50000, 1500},
		{backend.CUDA, "f32", 1000, 0, 2048, 1000}, {backend.CUDA, "f32", 2000, 1500, 50000, 1500},
		{backend.CPU, "f32", 0, 0, 512, 32}, {backend.CPU, "f32", 0, 0, 1000, 32},
		{backend.CPU, "f32", 0, 0, 2048, 32}, {backend.CPU, "f32", 0, 128, 2048, 32},
		{backend.CPU, "f32", 0, 0, 40, 32}, {backend.Go, "f32", 0, 0, 40, 16},
	} {
		var config Config
		config.Precision, config.Chunk, config.Batch = c.precision, c.chunk, c.batch
		got := config.chunk(c.kind, c.train)
		if got != c.want {
			t.Errorf("%s %s -chunk=%d -batch=%d, %d images: %d at once, want %d", c.kind,
				c.precision, c.chunk, c.batch, c.train, got, c.want)
		}
	}
}
