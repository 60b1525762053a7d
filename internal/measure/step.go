package measure

import "time"

// PerStep is the time of a step of a loop, of which run takes k steps. It takes 1, 2, 4, … steps,
// until a call takes at least a time or has at least as many steps as there are.
func PerStep(steps int, least time.Duration, run func(k int) error) (time.Duration, error) {
	for k := 1; ; k *= 2 {
		began := time.Now()
		if err := run(k); err != nil {
			return 0, err
		}
		if took := time.Since(began); took >= least || k >= steps {
			return took / time.Duration(k), nil
		}
	}
}
