package models

import "strings"

// DefaultWidth is the width that the authors of a network gave its stem: 16 for WideResNet
// (Zagoruyko and Komodakis, 2016), 64 for ResNet-18 and VGG-19.
func DefaultWidth(model string) int {
	if strings.HasPrefix(model, "wrn") {
		return 16
	}
	return 64
}
