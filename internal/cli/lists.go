package cli

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Words returns a function for [flag.FlagSet.Func] that sets a list to the comma-separated words of
// a flag, each of which must be allowed.
func Words[T ~string](list *[]T, allowed ...T) func(string) error {
	return parseList(list, func(word string) (T, error) {
		if !slices.Contains(allowed, T(word)) {
			return "", fmt.Errorf("%q is not one of %v", word, allowed)
		}
		return T(word), nil
	})
}

// Numbers returns a function for [flag.FlagSet.Func] that sets a list to the comma-separated whole
// numbers of a flag, each at least 1.
func Numbers(list *[]int) func(string) error {
	return parseList(list, number)
}

// NumbersOr is like [Numbers], but name, such as auto, may stand for a value.
func NumbersOr(list *[]int, name string, value int) func(string) error {
	return parseList(list, func(word string) (int, error) {
		if word == name {
			return value, nil
		}
		n, err := number(word)
		if err != nil {
			err = fmt.Errorf("%w or %s", err, name)
		}
		return n, err
	})
}

// number is a whole number of at least 1.
func number(word string) (int, error) {
	n, err := strconv.Atoi(word)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%q is not a whole number of at least 1", word)
	}
	return n, nil
}

// Strings returns a function for [flag.FlagSet.Func] that sets a list to the comma-separated words
// of a flag.
func Strings(list *[]string) func(string) error {
	return parseList(list, func(word string) (string, error) { return word, nil })
}

// Floats returns a function for [flag.FlagSet.Func] that sets a list to the comma-separated finite
// numbers of a flag.
func Floats(list *[]float64) func(string) error {
	return parseList(list, func(word string) (float64, error) {
		x, err := strconv.ParseFloat(word, 64)
		if err != nil || math.IsInf(x, 0) || math.IsNaN(x) {
			return 0, fmt.Errorf("%q is not a number", word)
		}
		return x, nil
	})
}

// parseList returns a function that replaces a list, such as a default, by what parse returns for
// the words between commas. After an error the list holds the elements before the bad word.
func parseList[T any](list *[]T, parse func(word string) (T, error)) func(string) error {
	return func(value string) error {
		*list = nil
		for word := range strings.SplitSeq(value, ",") {
			element, err := parse(word)
			if err != nil {
				return err
			}
			*list = append(*list, element)
		}
		return nil
	}
}
