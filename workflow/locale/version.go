package locale

import (
	"cmp"
	"regexp"
	"strings"

	"github.com/belfryhq/belfry"
)

// MaxVersionLength is how many bytes a version may have.
const MaxVersionLength = 256

var version = regexp.MustCompile(`^[vV]?(\d+(?:\.\d+)*)(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z.-]*)?$`)

// CompareVersions returns -1 if a is older than b, 1 if it is newer, and 0 if neither. A
// version is any number of numbers, such as 2, v1.10 or 1.2.3.4; those that are missing
// are 0. A pre-release, such as 1.2.0-rc.1, is older than its release; pre-releases compare
// as in Semantic Versioning. What follows a plus sign doesn't count. Errors are
// *belfry.Error.
func CompareVersions(a, b string) (int, error) {
	var parts [2][]string
	for i, text := range []string{a, b} {
		if len(text) > MaxVersionLength {
			return 0, belfry.Beyond("", MaxVersionLength, "characters of a version")
		}
		parts[i] = version.FindStringSubmatch(strings.TrimSpace(text))
		if parts[i] == nil {
			return 0, belfry.Errorf(belfry.Invalid, "must be a version such as 1.2.3 or 2.0.0-rc.1")
		}
	}
	if c := compareNumbers(strings.Split(parts[0][1], "."), strings.Split(parts[1][1], ".")); c != 0 {
		return c, nil
	}
	return comparePreReleases(parts[0][2], parts[1][2]), nil
}

func compareNumbers(a, b []string) int {
	for i := range max(len(a), len(b)) {
		x, y := "", ""
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if c := compareNumber(x, y); c != 0 {
			return c
		}
	}
	return 0
}

// compareNumber compares whole numbers of any length.
func compareNumber(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}

func comparePreReleases(a, b string) int {
	switch {
	case a == b:
		return 0
	case a == "":
		return 1
	case b == "":
		return -1
	}
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(x), len(y)) {
		xNumber, yNumber := isNumber(x[i]), isNumber(y[i])
		c := 0
		switch {
		case xNumber && yNumber:
			c = compareNumber(x[i], y[i])
		case xNumber: // numbers are older than words
			c = -1
		case yNumber:
			c = 1
		default:
			c = cmp.Compare(x[i], y[i])
		}
		if c != 0 {
			return c
		}
	}
	return cmp.Compare(len(x), len(y))
}

func isNumber(text string) bool { return strings.Trim(text, "0123456789") == "" }
