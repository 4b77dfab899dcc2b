package calendar

import (
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxZones bounds the cache: about twice as many zones as there are.
const maxZones = 1024

var zones = struct {
	sync.RWMutex
	byName map[string]*time.Location
}{byName: map[string]*time.Location{}}

// A name becomes the path of a file, so it must look like the name of a zone before
// anybody looks: no dots, no leading slash.
var zoneName = regexp.MustCompile(`^[A-Z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$`)

// Zone returns the time zone with an IANA name such as "Europe/Berlin". An empty,
// unknown or malformed name, and names that mean the server's own zone, are UTC and
// false. Names are case-sensitive, with at most [MaxTextLength] bytes.
func Zone(name string) (*time.Location, bool) {
	if len(name) > MaxTextLength || !zoneName.MatchString(name) || slices.Contains([]string{"Local", "Factory"}, name) {
		return time.UTC, false
	}
	zones.RLock()
	loc := zones.byName[name]
	zones.RUnlock()
	if loc != nil {
		return loc, true
	}
	// Cloned, because a name may be a part of a large document.
	loc, err := time.LoadLocation(strings.Clone(name))
	if err != nil {
		return time.UTC, false
	}
	zones.Lock()
	defer zones.Unlock()
	if len(zones.byName) < maxZones {
		zones.byName[strings.Clone(name)] = loc
	}
	return loc, true
}
