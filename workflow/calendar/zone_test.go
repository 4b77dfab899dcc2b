package calendar_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/belfryhq/belfry/workflow/calendar"
)

func TestZone(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"UTC", "Etc/UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5", "America/Port-au-Prince"} {
		if loc, ok := calendar.Zone(name); !ok || loc.String() != name {
			t.Errorf("%s is %s, %v", name, loc, ok)
		}
	}
	for _, name := range []string{
		"", "Local", "local", "localtime", "Factory", "posixrules", "right/Europe/Berlin", "posix/Europe/Berlin",
		"../../etc/passwd", "Europe/../../../../etc/localtime", "/etc/localtime", "/usr/share/zoneinfo/Europe/Berlin", `C:\zone`,
		"Europe//Berlin", "Europe/Berlin/", "europe/berlin", "Europe/Berlin\x00", "Europe/Berlin\n", "A/b/c/d", "Europe/Atlantis", "tzdata.zi", "Ä/ö",
		"X" + strings.Repeat("x", calendar.MaxTextLength),
	} {
		if loc, ok := calendar.Zone(name); ok || loc != time.UTC {
			t.Errorf("%q is %s, %v", name, loc, ok)
		}
	}
}

func TestZonesAreLoadedOnce(t *testing.T) {
	t.Parallel()
	first, _ := calendar.Zone("Asia/Kathmandu")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if again, ok := calendar.Zone("Asia/Kathmandu"); !ok || again != first {
				t.Error("another location for the same zone")
			}
		})
	}
	wg.Wait()
}
