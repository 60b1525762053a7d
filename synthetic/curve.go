package main

import (
	"fmt"
	"math"
)

// curve is a column over the observed steps.
type curve struct{ steps, values []float64 }

func (t trained) curve(lane, name string) curve {
	x, y := t.series(lane, name)
	return curve{x, y}
}

// firstStep is the first observed step at which the value satisfies the condition, or −1.
func (c curve) firstStep(ok func(float64) bool) int {
	for i, v := range c.values {
		if ok(v) {
			return int(c.steps[i])
		}
	}
	return -1
}

// value is the value at the last observed step up to the given one, NaN before the first.
func (c curve) value(step float64) float64 {
	value := math.NaN()
	for i, s := range c.steps {
		if s <= step {
			value = c.values[i]
		}
	}
	return value
}

func (c curve) last() float64 { return c.values[len(c.values)-1] }

// sum is the sum over all steps up to the last one, by the trapezoidal rule between observed steps.
func (c curve) sum() float64 {
	sum := 0.0
	for i := 1; i < len(c.steps); i++ {
		sum += (c.steps[i] - c.steps[i-1]) * (c.values[i] + c.values[i-1]) / 2
	}
	return sum
}

// largest is the largest value of f over the observed steps from the given one on.
func (c curve) largest(from float64, f func(step, value float64) float64) float64 {
	largest := math.Inf(-1)
	for i, s := range c.steps {
		if s >= from {
			largest = max(largest, f(s, c.values[i]))
		}
	}
	return largest
}

// strongest is the neuron, counted from 1, with the largest c_r at the end.
func (t trained) strongest(lane string, m int) int {
	strongest, largest := 1, math.Inf(-1)
	for r := 1; r <= m; r++ {
		if c := t.last(lane).get(fmt.Sprintf("c%d", r)); c > largest {
			strongest, largest = r, c
		}
	}
	return strongest
}
