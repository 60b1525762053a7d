package rundir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"momentum/internal/durable"
)

// checkedFile is a file in the folder of a run that has ended, outside its checksums. It has the
// name, the size and the modification time of each file when all had the right checksums: while
// these stay the same, nobody computes the checksums again. Without the file, somebody does.
const checkedFile = ".checked"

// settled is the age that a modification time must have: two changes within it may have the same
// time.
const settled = 2 * time.Second

// verifyOnce is [verify] of the folder of a run that has ended, if a file has changed since the
// last time.
func verifyOnce(folder string, required ...string) error {
	sums, err := readSums(folder, append([]string{configFile, metricsFile}, required...)...)
	if err != nil {
		return err
	}
	before, newest := fingerprint(folder, sums)
	path := filepath.Join(folder, checkedFile)
	if old, err := os.ReadFile(path); err == nil && string(old) == before {
		return nil
	}
	_ = durable.RemoveTemporary(folder) // of a process that was killed as it wrote that file
	for _, s := range sums {
		if err := s.check(folder); err != nil {
			return err
		}
	}
	if time.Since(newest) > settled {
		_ = durable.WriteBytes(path, []byte(before)) // else the next process checks again
	}
	return nil
}

// fingerprint is the content of [checkedFile], and the newest modification time in it. A file that
// is missing is found by its checksum.
func fingerprint(folder string, sums []sum) (text string, newest time.Time) {
	var lines strings.Builder
	for _, s := range append([]sum{{name: sumsFile}, {name: stateFile}}, sums...) {
		info, err := os.Stat(filepath.Join(folder, s.name))
		if err != nil {
			fmt.Fprintf(&lines, "missing %s\n", s.name)
			continue
		}
		fmt.Fprintf(&lines, "%d %d %s\n", info.Size(), info.ModTime().UnixNano(), s.name)
		if info.ModTime().After(newest) {
			newest = info.ModTime()
		}
	}
	return lines.String(), newest
}

// Verify checks the folder of a run that is done or has diverged against its SHA256SUMS, unless no
// file has changed since the last time. The sums must list config.json, metrics.jsonl and the other
// required files. Some files may be derived: the run's command makes them anew. The error wraps a
// [*DamagedError] and names the remedy.
func Verify(folder string, derived []string, required ...string) error {
	err := verifyOnce(folder, required...)
	damage := (*DamagedError)(nil)
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &damage):
		return fmt.Errorf("rundir: %w", err)
	case slices.Contains(derived, filepath.Base(damage.Path)):
		return fmt.Errorf("rundir: %w; the run's command makes it anew", err)
	}
	return fmt.Errorf("rundir: %w", withRemedy(err))
}

// Verify is the function [Verify] of an open folder, but returns what is wrong with derived files,
// if nothing else is: the caller makes these files anew and calls Seal.
func (d *Dir) Verify(derived []string, required ...string) (remake []*DamagedError, err error) {
	err = Verify(d.path, derived, required...)
	if !errors.As(err, new(*DamagedError)) {
		return nil, err
	}
	sums, e := readSums(d.path)
	if e != nil {
		return nil, err
	}
	for _, s := range sums {
		damage := (*DamagedError)(nil)
		switch e := s.check(d.path); {
		case e == nil:
		case errors.As(e, &damage) && slices.Contains(derived, s.name):
			remake = append(remake, damage)
		default:
			return nil, fmt.Errorf("rundir: %w", withRemedy(e))
		}
	}
	if len(remake) == 0 { // the sums do not list what is required
		return nil, err
	}
	return remake, nil
}
