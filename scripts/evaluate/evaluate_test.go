package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/png"
	"math"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"momentum/datasets"
	"momentum/internal/cli"
	"momentum/internal/figure"
	"momentum/internal/imagerun"
	"momentum/internal/runtest"
)

// train trains a network in a second and returns the run's folder: 13 images of cifar10-mini, and
// 10 that are held out.
func train(t *testing.T, more ...string) string {
	t.Helper()
	root := t.TempDir()
	args := runtest.Changed([]string{"-preset=tiny", "-backend=go", "-offline", "-model=wrn16-1",
		"-width=1", "-images=13", "-holdout=10", "-epochs=2", "-chunk=5", "-lr=0.1",
		"-checkpoint-every=0s", "-runs=" + root}, more...)
	command, err := imagerun.ParseCommand(args)
	if err == nil {
		err = command.Run(t.Context(), t.Output(), t.Output())
	}
	if err != nil {
		t.Fatal(err)
	}
	folders, err := filepath.Glob(filepath.Join(root, "*-??????????"))
	if err != nil || len(folders) != 1 {
		t.Fatal(folders, err)
	}
	return folders[0]
}

// evaluate executes the command and returns what it prints.
func evaluate(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if err := run(t.Context(), &stdout, &stderr, append(args, "-backend=go",
		"-offline")); err != nil || stderr.Len() > 0 {
		t.Fatal(err, stderr.String())
	}
	return stdout.String()
}

// The command prints the run's own numbers, and writes the table and the pictures.
func TestEvaluate(t *testing.T) {
	folder := train(t)
	last := runtest.Metrics(t, folder)[2]
	for _, tt := range []struct {
		args           []string
		images         string
		loss, accuracy string
	}{
		{nil, "cifar10-mini, held-out: 10", "held_out_loss", "held_out_accuracy"},
		{[]string{"-split=train"}, "cifar10-mini, train: 13", "loss", "train_accuracy"},
		{[]string{"-checkpoint=step-00000002"}, "cifar10-mini, held-out: 10", "held_out_loss",
			"held_out_accuracy"},
	} {
		out := filepath.Join(t.TempDir(), "result")
		printed := evaluate(t, append(tt.args, "-out="+out, folder)...)
		loss, _ := last.Get(tt.loss)
		accuracy, _ := last.Get(tt.accuracy)
		want := fmt.Sprintf("loss %.4g, accuracy %.2f%%", loss, 100*accuracy)
		want = fmt.Sprintf("\nimages    %s\n\n%s (the run measured %s)\n", tt.images, want, want)
		if !strings.Contains(printed, want) {
			t.Errorf("%q: want %s in\n%s", tt.args, want, printed)
		}
		if !strings.HasSuffix(printed, fmt.Sprintf(
			"\nfiles     %[1]s.csv, %[1]s-confusion.png, %[1]s-images.png\n", out)) {
			t.Errorf("%q: the end of\n%s", tt.args, printed)
		}
		if n := strings.Count(runtest.Read(t, out+".csv"), "\n"); n != 11 {
			t.Errorf("%d lines of the confusion matrix, want a title and 10 classes", n)
		}
		for _, name := range []string{out + "-confusion.png", out + "-images.png"} {
			if _, err := png.Decode(strings.NewReader(runtest.Read(t, name))); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// The probabilities of one picture are those of the image in its set; a picture of another size is
// scaled, with a note.
func TestImage(t *testing.T) {
	folder := train(t)
	red := image.NewRGBA(image.Rect(0, 0, 64, 40))
	for i := range red.Pix {
		red.Pix[i] = []uint8{200, 10, 20, 0xff}[i%4]
	}
	write := func(m image.Image) string {
		var b bytes.Buffer
		if err := png.Encode(&b, m); err != nil {
			t.Fatal(err)
		}
		return runtest.File(t, "picture.png", b.String())
	}
	small, large := write(red.SubImage(image.Rect(3, 4, 35, 36))), write(red)
	pixels, note, err := readImage(small)
	if err != nil || note != "" || len(pixels) != 3072 ||
		!slices.Equal(pixels[3069:], []uint8{200, 10, 20}) {
		t.Errorf("%v, %q, %d values, the last of them %v", err, note, len(pixels), pixels[3069:])
	}
	clear, _, err := readImage(write(image.NewNRGBA(image.Rect(0, 0, 32, 32))))
	if err != nil || slices.Min(clear) != 255 {
		t.Errorf("what is transparent is %d, want white; %v", slices.Min(clear), err)
	}

	printed := evaluate(t, folder, "-image="+small)
	rows := regexp.MustCompile(`(?m)^\| [a-z]+ *\| *\d+\.\d\d% \|$`).FindAllString(printed, -1)
	if len(rows) != 10 {
		t.Errorf("%d classes in\n%s", len(rows), printed)
	}
	scaled := evaluate(t, folder, "-image="+large)
	const wantNote = ": 64×40 pixels, of which the middle square was scaled to 32×32\n"
	if !strings.Contains(scaled, wantNote) || !strings.HasSuffix(scaled, strings.Join(rows, "\n")+
		"\n") { // it is of one color
		t.Errorf("got\n%s\nwant %s and\n%s", scaled, wantNote, printed)
	}
}

// Wrong command lines and files are refused in one line.
func TestRefuses(t *testing.T) {
	batch := train(t, "-norm=batch")
	text := runtest.File(t, "note.png", "no picture")
	for _, tt := range []struct {
		status int
		want   string
		args   []string
	}{
		{cli.BadUsage, "name a run folder", nil},
		{cli.BadUsage, `unexpected argument "b": want one run folder`, []string{"a", "b"}},
		{cli.BadUsage, "flag provided but not defined: -fast; see -h", []string{"a", "-fast"}},
		{cli.BadUsage, "-out=/nonexist/x: there is no folder /nonexist: make it",
			[]string{"a", "-out=/nonexist/x"}},
		{cli.BadUsage, `-split must be one of train, test, held-out, got "all"`,
			[]string{batch, "-split=all"}},
		{cli.BadUsage, `-data must be one of cifar10-mini, cifar10, cifar100, got "mnist"`,
			[]string{batch, "-data=mnist"}},
		{cli.BadUsage, "-image is one picture, which needs no -data and no -split",
			[]string{batch, "-image=a.png", "-split=test"}},
		{cli.BadUsage, "-image: the run has batch normalization, which takes its statistics over " +
			"5 images",
			[]string{batch, "-image=a.png"}},
		{cli.BadUsage, "a is no run folder: it has no config.json", []string{"a"}},
		{cli.Failed, "-image: open absent.png: ", []string{train(t), "-image=absent.png"}},
		{cli.Failed, "-image: " + text + ": image: unknown format (want a PNG or a JPEG)",
			[]string{train(t), "-image=" + text}},
	} {
		err := run(t.Context(), t.Output(), t.Output(), tt.args)
		if cli.Status(err) != tt.status || !strings.HasPrefix(fmt.Sprint(err), tt.want) {
			t.Errorf("%q: %v, want %s", tt.args, err, tt.want)
		}
	}
	var manual bytes.Buffer
	if err := run(t.Context(), &manual, t.Output(), []string{"-h"}); !errors.Is(err,
		flag.ErrHelp) || !strings.Contains(manual.String(), "\n  -split    ") {
		t.Errorf("%v\n%s", err, &manual)
	}
	runtest.Manual(t, "evaluate", manual.String(),
		"-out the name of the files, without an ending (default evaluate)")
}

// threeImages have the probabilities 1/2 and 1/2; 9/10 and 1/10; 1/4 and 3/4.
func threeImages() *result {
	logits := [][]float64{{5, 5}, {math.Log(9), 0}, {1000, 1000 + math.Log(3)}}
	return newResult(logits, []uint8{0, 1, 1}, []string{"cat", "dog"})
}

func TestResult(t *testing.T) {
	r := threeImages()
	// −ln(1/2) − ln(1/10) − ln(3/4), of 3 images
	if want := math.Log(2*10/0.75) / 3; math.Abs(r.loss-want) > 1e-12 || r.accuracy != 2.0/3 {
		t.Errorf("loss %v, accuracy %v, want %v and 2/3", r.loss, r.accuracy, want)
	}
	// The first image is a tie, which goes to the first class.
	if want := [][]int{{1, 0}, {1, 1}}; !reflect.DeepEqual(r.confusion, want) {
		t.Errorf("confusion %v, want %v", r.confusion, want)
	}
	wantTable := `
| class | images | accuracy | predicted as it | of these right |
|---|---|---|---|---|
| cat | 1 | 100.00% | 2 | 50.00% |
| dog | 2 | 50.00% | 1 | 100.00% |

| label \ prediction | cat | dog |
|---|---|---|
| cat | 1 | 0 |
| dog | 1 | 1 |
`
	if got := r.classTable() + r.confusionTable(); got != wantTable {
		t.Errorf("got\n%s\nwant\n%s", got, wantTable)
	}
	wantPairs := `
Confused most often:

| label | prediction | images | of the label's |
|---|---|---|---|
| dog | cat | 1 | 50.00% |
`
	if got := r.confusedPairs(10); got != wantPairs {
		t.Errorf("got\n%s\nwant\n%s", got, wantPairs)
	}
	// The picture has the first class at the top.
	heat := r.picture().Panels[0][0].Heat
	if want := [][]float64{{0.5, 0.5}, {1, 0}}; !reflect.DeepEqual(heat.Z, want) {
		t.Errorf("heat map %v, want %v", heat.Z, want)
	}
	var csv bytes.Buffer
	if err := r.writeCSV(&csv); err != nil || csv.String() != "label,cat,dog\ncat,1,0\ndog,1,1\n" {
		t.Errorf("%v: %s", err, &csv)
	}
}

// The rows of the mosaic are in the order of the probabilities of the predictions: 1/2, 9/10, 3/4.
func TestExamples(t *testing.T) {
	r := threeImages()
	want := []exampleRow{{"most certain", []int{1, 2}}, {"most certain and wrong", []int{1}},
		{"least certain", []int{0, 2}}}
	if got := r.examples(2); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	const line = "| most certain | 1 | dog | cat | 90.00% | 10.00% |\n"
	if got := r.examplesTable(want); !strings.Contains(got, line) {
		t.Errorf("no line %s in\n%s", line, got)
	}
}

// Under an image of the mosaic are its label and its prediction, marked if that is wrong.
func TestMosaic(t *testing.T) {
	r := threeImages()
	images := &datasets.Images{Pixels: make([]uint8, 3*32*32*3), Labels: []uint8{0, 1, 1}}
	tiles := r.mosaic([]exampleRow{{"most certain", []int{1, 2}}}, images)
	want := [][]figure.Caption{{{Text: "dog"}, {Text: "cat 90%", Marked: true}},
		{{Text: "dog"}, {Text: "dog 75%"}}}
	if row := tiles.Rows[0]; row.Name != "most certain" || len(row.Images) != 2 ||
		!reflect.DeepEqual(row.Captions, want) {
		t.Errorf("got %+v, want the captions %v", row.Captions, want)
	}

	out := filepath.Join(t.TempDir(), "out")
	evaluate(t, train(t), "-out="+out)
	if _, err := png.Decode(strings.NewReader(runtest.Read(t, out+"-images.png"))); err != nil {
		t.Error(err)
	}
}
