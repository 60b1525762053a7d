// Package architecture has no code. Its tests keep the shape of the repository: imports point one
// way, only the packages that compute import GoMLX, and files, functions and lines stay short.
package architecture
