//go:build unix

package main

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"momentum/internal/cifartest"
	"momentum/internal/fetch/fetchtest"
)

// hostility is a kind of hostile tarball.
type hostility struct {
	name string
	// pack draws a tarball like that of d, and the outcome that is wanted: "" if it may be either.
	pack func(d *downloading, random *rand.Rand) (tarball []byte, want string)
	// summed says that the checksum is that of the good tarball.
	summed bool
}

// hostilities are all of them.
func hostilities() []hostility {
	return []hostility{
		{name: "../ in a name", pack: above},
		{name: "an absolute name", pack: absolute},
		{name: "a link beside the files", pack: linkBeside},
		{name: "a device or a pipe beside the files", pack: deviceBeside},
		{name: "a link, a device or a folder for a file", pack: inPlace},
		{name: "a bomb", pack: bomb},
		{name: "a name twice", pack: twice},
		{name: "a file is missing", pack: withoutFile},
		{name: "a file of another size", pack: otherSize},
		{name: "cut short", pack: cutShort},
		{name: "more at the end", pack: moreAtEnd},
		{name: "flipped bit", pack: anyBit},
		{name: "flipped bit, the right checksum", pack: checkedBit, summed: true},
		{name: "no tarball", pack: noTarball},
	}
}

// unpackAll unpacks hostile tarballs.
func (c *campaign) unpackAll(ctx context.Context) error {
	return eachKind(ctx, c, "archive", c.archives, "hostilities", hostilities(), c.unpack)
}

// unpack imports a hostile tarball as scripts/download -from does.
func (c *campaign) unpack(ctx context.Context, number int, h hostility) error {
	name, random := fmt.Sprintf("archive-%d", number), c.random("archive", number)
	d, err := c.newDownloading(name, random)
	if err != nil {
		return err
	}
	d.order.From = filepath.Join(d.root, "given.tar.gz")
	d.names = append(d.names, d.order.From)
	right := d.order.Tarball
	give := func(tarball []byte) error {
		d.given["given.tar.gz"] = string(tarball)
		return os.WriteFile(d.order.From, tarball, 0o666)
	}
	tarball, want := h.pack(d, random)
	if !h.summed {
		d.order.Tarball.SHA256, d.order.Tarball.Size = sum(tarball), int64(len(tarball))
	}
	if err := give(tarball); err != nil {
		return err
	}
	outcome, reason, err := d.once(ctx)
	if err != nil {
		return err
	}
	return c.conclude(ctx, c.unpacked, name, h.name, d, outcome, reason, want, func() error {
		d.order.Tarball = right
		return give(d.tarball)
	})
}

// with packs the entries of the good tarball with others, each at a random place from a first one
// on and before a last one.
func (d *downloading) with(random *rand.Rand, first, last int, others ...cifartest.Entry) []byte {
	all := slices.Clone(d.entries)
	for _, e := range others {
		at := first + random.IntN(last-first)
		all = slices.Insert(all, at, e)
	}
	return cifartest.Pack(all)
}

// anywhere is [downloading.with] at any place.
func (d *downloading) anywhere(random *rand.Rand, others ...cifartest.Entry) []byte {
	return d.with(random, 0, len(d.entries)+1, others...)
}

// member draws a file of the good tarball, and returns its index too.
func (d *downloading) member(random *rand.Rand) (cifartest.Entry, int) {
	first := len(d.entries) - len(d.set.Files)
	i := first + random.IntN(len(d.set.Files))
	return d.entries[i], i
}

// above has a file of another content for one of the set, too.
func above(d *downloading, random *rand.Rand) ([]byte, string) {
	up := strings.Repeat("../", 1+random.IntN(5))
	file, _ := d.member(random)
	return d.anywhere(random, cifartest.Regular(up+file.Name, flip(file.Content, 0, random)),
		cifartest.Regular(pick(random, up+"evil", d.set.Folder+"/"+up+"evil", "./"+up+"evil",
			d.set.Folder+"/x/../../../evil", ".."), noise(random)),
		cifartest.Special(up+pick(random, "evil/", "data/evil/"), tar.TypeDir, "")), recovered
}

func absolute(d *downloading, random *rand.Rand) ([]byte, string) {
	file, _ := d.member(random)
	return d.anywhere(random, cifartest.Regular(pick(random, d.root+"/evil", d.data+"/evil",
		"/"+file.Name, d.data+"/"+file.Name), flip(file.Content, 0, random))), recovered
}

func linkBeside(d *downloading, random *rand.Rand) ([]byte, string) {
	link := pick(random, d.set.Folder+"/link", "link", d.set.Folder)
	return d.anywhere(random,
		cifartest.Special(link, pick[byte](random, tar.TypeSymlink, tar.TypeLink),
			pick(random, d.root, "..", "/etc", "../given.tar.gz", ".")),
		cifartest.Regular(link+"/evil", noise(random))), recovered
}

func deviceBeside(d *downloading, random *rand.Rand) ([]byte, string) {
	name := pick(random, d.set.Folder+"/device", "device", "SHA256SUMS", d.set.Folder+"/SHA256SUMS")
	return d.anywhere(random, cifartest.Special(name, pick[byte](random, tar.TypeChar,
		tar.TypeBlock, tar.TypeFifo), "")), recovered
}

func inPlace(d *downloading, random *rand.Rand) ([]byte, string) {
	file, i := d.member(random)
	return d.with(random, 0, i+1, cifartest.Special(pick(random, "", "./")+file.Name,
		pick[byte](random, tar.TypeSymlink, tar.TypeLink, tar.TypeChar, tar.TypeBlock, tar.TypeFifo,
			tar.TypeDir), pick(random, "/etc/passwd", path.Base(file.Name), "../../given.tar.gz",
			d.entries[len(d.entries)-1].Name))), refused
}

// bomb unpacks to 2 to 17 MB more than the files, in an entry or behind the end of the tarball.
func bomb(d *downloading, random *rand.Rand) ([]byte, string) {
	zeros := make([]byte, 2<<20+random.IntN(15<<20))
	return pick(random, d.anywhere(random, cifartest.Regular(d.set.Folder+"/zeros", zeros)),
		slices.Concat(d.tarball, fetchtest.Gzip(zeros))), refused
}

// twice has a second file of a name, perhaps of another size: the first one counts.
func twice(d *downloading, random *rand.Rand) ([]byte, string) {
	file, i := d.member(random)
	second := flip(file.Content, random.IntN(len(file.Content)), random)
	return d.with(random, i+1, len(d.entries)+1, cifartest.Regular(file.Name,
		pick(random, []byte(second), noise(random)))), recovered
}

func withoutFile(d *downloading, random *rand.Rand) ([]byte, string) {
	_, i := d.member(random)
	return cifartest.Pack(slices.Delete(slices.Clone(d.entries), i, i+1)), refused
}

func otherSize(d *downloading, random *rand.Rand) ([]byte, string) {
	file, i := d.member(random)
	content := pick(random, file.Content[:random.IntN(len(file.Content))],
		slices.Concat(file.Content, noise(random)))
	all := slices.Clone(d.entries)
	all[i] = cifartest.Regular(file.Name, content)
	return cifartest.Pack(all), refused
}

func cutShort(d *downloading, random *rand.Rand) ([]byte, string) {
	return d.tarball[:random.IntN(len(d.tarball))], refused
}

// moreAtEnd is noise behind the tarball, or compressed noise, which is a part of it that has no
// entries.
func moreAtEnd(d *downloading, random *rand.Rand) ([]byte, string) {
	more := noise(random)
	if random.IntN(2) == 0 {
		return slices.Concat(d.tarball, fetchtest.Gzip(more)), recovered
	}
	return slices.Concat(d.tarball, more), refused
}

// anyBit may be one that says nothing, such as in the time of the compression.
func anyBit(d *downloading, random *rand.Rand) ([]byte, string) {
	return flip(d.tarball, random.IntN(len(d.tarball)), random), ""
}

func checkedBit(d *downloading, random *rand.Rand) ([]byte, string) {
	return flip(d.tarball, random.IntN(len(d.tarball)), random), refused
}

func noTarball(d *downloading, random *rand.Rand) ([]byte, string) {
	return pick(random, []byte{}, []byte("<!DOCTYPE html><html></html>"), noise(random),
		fetchtest.Gzip(nil), fetchtest.Gzip(noise(random)), bytes.Repeat([]byte{0}, 10240),
		cifartest.Pack(nil), fetchtest.Gzip(d.tarball)), refused
}
