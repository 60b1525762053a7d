package datasets

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"momentum/internal/seeds"
)

// archive is one official CIFAR tarball in the binary version, described at
// https://www.cs.toronto.edu/~kriz/cifar.html.
type archive struct {
	name        string // the set's
	tarball     string // the tarball's file name
	sha256      string // the tarball's, in hexadecimal
	size        int64  // the tarball's, in bytes
	folder      string // in the tarball and on disk
	train, test []member
	labelBytes  int // bytes before the pixels of a record; the last of them is the class
	classes     []string
	mean, std   [3]float32
}

// member is one file of records.
type member struct {
	name    string
	records int
}

// archives are the official tarballs. Their sizes and checksums are those in TensorFlow Datasets
// (url_checksums/cifar10.txt, cifar100.txt).
var archives = []archive{
	{
		name:    "cifar10",
		tarball: "cifar-10-binary.tar.gz",
		sha256:  "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
		size:    170052171,
		folder:  "cifar-10-batches-bin",
		train: []member{
			{"data_batch_1.bin", 10000}, {"data_batch_2.bin", 10000}, {"data_batch_3.bin", 10000},
			{"data_batch_4.bin", 10000}, {"data_batch_5.bin", 10000},
		},
		test:       []member{{"test_batch.bin", 10000}},
		labelBytes: 1,
		classes:    strings.Fields("airplane automobile bird cat deer dog frog horse ship truck"),
		mean:       [3]float32{0.4914, 0.4822, 0.4465},
		std:        [3]float32{0.2470, 0.2435, 0.2616},
	},
	{
		name:       "cifar100",
		tarball:    "cifar-100-binary.tar.gz",
		sha256:     "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
		size:       168513733,
		folder:     "cifar-100-binary",
		train:      []member{{"train.bin", 50000}},
		test:       []member{{"test.bin", 10000}},
		labelBytes: 2, // coarse, fine
		classes: strings.Fields(`
			apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
			butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach
			couch crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster
			house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree
			motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear
			pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road
			rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
			sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip
			turtle wardrobe whale willow_tree wolf woman worm`),
		mean: [3]float32{0.5071, 0.4865, 0.4409},
		std:  [3]float32{0.2673, 0.2564, 0.2762},
	},
}

// in returns the archive in another tarball.
func (a archive) in(t Tarball) archive {
	a.sha256, a.size = t.SHA256, t.Size
	a.train, a.test = slices.Clone(a.train), slices.Clone(a.test)
	for _, files := range [][]member{a.train, a.test} {
		for i := range files {
			files[i].records = t.Records
		}
	}
	return a
}

// members returns all files of the archive, those of the training set first.
func (a archive) members() []member { return slices.Concat(a.train, a.test) }

func (a archive) recordBytes() int { return a.labelBytes + imageBytes }

func (a archive) fileBytes(m member) int64 { return int64(m.records) * int64(a.recordBytes()) }

// unpackedBytes returns the size of all files together.
func (a archive) unpackedBytes() (n int64) {
	for _, m := range a.members() {
		n += a.fileBytes(m)
	}
	return n
}

// load reads the archive's files. If their folder is missing, it downloads them first, or draws
// images in their place.
func (a archive) load(ctx context.Context, o Options) (train, test *Images, err error) {
	dir, err := o.dir()
	if err != nil {
		return nil, nil, err
	}
	folder := filepath.Join(dir, a.folder)
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		if o.OrRandom {
			return a.random(a.train, "train"), a.random(a.test, "test"), nil
		}
		if folder, err = a.download(ctx, o); err != nil {
			return nil, nil, err
		}
	}
	if train, err = a.read(ctx, folder, a.train); err == nil {
		test, err = a.read(ctx, folder, a.test)
	}
	if ctx.Err() == nil && err != nil {
		err = fmt.Errorf("%w; %s gets it anew", err, a.command(o))
	}
	return train, test, err
}

// command returns the command with which the user can get the data.
func (a archive) command(o Options) string {
	c := "go run ./scripts/download -data=" + a.name
	if o.Dir != "" {
		c += " -data-dir=" + o.Dir
	}
	return c
}

// black returns as many images as the files have, all of whose pixels and labels are 0.
func (a archive) black(files []member) *Images {
	n := 0
	for _, m := range files {
		n += m.records
	}
	return &Images{
		Name: a.name, Classes: len(a.classes), ClassNames: a.classes, Mean: a.mean, Std: a.std,
		Pixels: make([]uint8, n*imageBytes), Labels: make([]uint8, n),
	}
}

// random draws as many images as the files have, always the same ones for a purpose.
func (a archive) random(files []member, purpose string) *Images {
	all := a.black(files)
	all.Random = true
	rng := seeds.Stream(1, "random images/"+purpose)
	for i := 0; i < len(all.Pixels); i += 8 { // which divides imageBytes
		binary.LittleEndian.PutUint64(all.Pixels[i:], rng.Uint64())
	}
	for i := range all.Labels {
		all.Labels[i] = uint8(rng.IntN(all.Classes))
	}
	return all
}

// read reads files one after another into one set. It needs only a few kilobytes besides the set.
func (a archive) read(ctx context.Context, folder string, files []member) (*Images, error) {
	all := a.black(files)
	sums, err := readSums(folder)
	if err != nil {
		return nil, err
	}
	first := 0 // index of the next file's first image
	for _, m := range files {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		images := all.Slice(first, first+m.records)
		if err := a.readFile(folder, m, sums[m.name], images); err != nil {
			return nil, err
		}
		first += m.records
	}
	return all, nil
}

// readFile reads one file into images and compares its checksum with sum, unless that is empty.
func (a archive) readFile(folder string, m member, sum string, images *Images) error {
	path := filepath.Join(folder, m.name)
	if err := a.checkSize(path, m); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	content := io.TeeReader(bufio.NewReaderSize(f, 1<<18), h)
	if err := readRecords(content, a.labelBytes, images); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); sum != "" && got != sum {
		return fmt.Errorf("%s: sha256 %s, want %s as in %s: the file has changed", path, got, sum,
			sumsName)
	}
	return nil
}

func (a archive) checkSize(path string, m member) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if got, want := info.Size(), a.fileBytes(m); got != want {
		return fmt.Errorf("%s: %d bytes, want %d (%d records of %d)", path, got, want, m.records,
			a.recordBytes())
	}
	return nil
}

// readRecords fills images from records. A record has labelBytes labels, of which only the last
// counts, then 1,024 red, 1,024 green and 1,024 blue values, row by row. Fewer or more records than
// images are an error, and so is a label out of range.
func readRecords(r io.Reader, labelBytes int, images *Images) error {
	const plane = Side * Side
	record := make([]byte, labelBytes+imageBytes)
	for i := range images.N() {
		if _, err := io.ReadFull(r, record); err == io.EOF || err == io.ErrUnexpectedEOF {
			return fmt.Errorf("ends in record %d, want %d", i, images.N())
		} else if err != nil {
			return err
		}
		label := record[labelBytes-1]
		if int(label) >= images.Classes {
			return fmt.Errorf("record %d: label %d, want 0 to %d", i, label, images.Classes-1)
		}
		images.Labels[i] = label
		in := record[labelBytes:]
		red, green, blue := in[:plane], in[plane:2*plane], in[2*plane:]
		out := images.Pixels[i*imageBytes : (i+1)*imageBytes]
		for k := range plane {
			out[3*k], out[3*k+1], out[3*k+2] = red[k], green[k], blue[k]
		}
	}
	if n, err := io.ReadFull(r, record[:1]); n > 0 {
		return fmt.Errorf("goes on after record %d, want %d records", images.N()-1, images.N())
	} else if err != io.EOF {
		return err
	}
	return nil
}

// sumsName is the file with the checksums of the other files of a folder, in the format of
// sha256sum. It is written when a verified tarball is unpacked. A folder that was put there in
// another way may lack it.
const sumsName = "SHA256SUMS"

// readSums returns the checksums in a folder's sumsName by file name: nil if it has no such file.
func readSums(folder string) (map[string]string, error) {
	path := filepath.Join(folder, sumsName)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	sums, err := parseSums(string(b))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return sums, nil
}

func parseSums(text string) (map[string]string, error) {
	sums := map[string]string{}
	for i, line := range strings.Split(strings.TrimSpace(text), "\n") {
		sum, name, ok := strings.Cut(line, "  ")
		if !ok || len(sum) != 2*sha256.Size {
			return nil, fmt.Errorf("line %d: %q, want a sha256 and a file name", i+1, line)
		}
		sums[name] = sum
	}
	return sums, nil
}
