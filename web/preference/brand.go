package preference

import (
	"fmt"
	"html/template"
	"math"
	"net/url"
	"regexp"
	"strconv"

	"github.com/belfryhq/belfry/recipient"
)

// brand is how a page looks: of the tenant in whose name the message came, or plain.
type brand struct {
	Name               string // empty: nobody's
	Logo, DarkLogo     string // https, or empty
	Colors             template.CSS
	origin, darkOrigin string
}

// Backgrounds of the page's cards, in style.css.
const (
	lightCard = "#ffffff"
	darkCard  = "#1c1c1f"
)

// Contrast that WCAG 2.2 AA asks for.
const (
	contrastOfText    = 4.5
	contrastOfControl = 3.0
)

// brandOf is the brand of a tenant; nil: nobody's.
func brandOf(tenant *recipient.Known) brand {
	var b brand
	var properties map[string]any
	if tenant != nil {
		properties = tenant.Properties
		b.Name, _ = properties["name"].(string)
		if b.Name == "" {
			b.Name = tenant.ExternalID
		}
	}
	looks := recipient.BrandingOf(properties)
	b.Logo, b.origin = logo(looks.LogoURL)
	if b.DarkLogo, b.darkOrigin = logo(looks.DarkLogoURL); b.Logo == "" || b.DarkLogo == "" {
		b.DarkLogo, b.darkOrigin = b.Logo, b.origin
	}
	light, onLight := accent(looks.PrimaryColor, looks.PrimaryColorContrast, lightCard, "#1c1c1f")
	dark, onDark := accent(looks.DarkPrimaryColor, looks.DarkPrimaryColorContrast, darkCard, "#f4f4f5")
	b.Colors = template.CSS(fmt.Sprintf(":root{--accent:%s;--on-accent:%s}@media(prefers-color-scheme:dark){:root{--accent:%s;--on-accent:%s}}", light, onLight, dark, onDark))
	return b
}

var host = regexp.MustCompile(`^[a-zA-Z0-9.-]{1,253}(:[0-9]{1,5})?$`)

// logo is a picture's address and origin, if it can be shown: over https alone, and from a host that can stand in a policy.
func logo(s string) (address, origin string) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.User != nil || !host.MatchString(u.Host) {
		return "", ""
	}
	return s, "https://" + u.Host
}

// origins are where pictures may come from.
func (b *brand) origins() string {
	switch {
	case b.Logo == "":
		return "'none'"
	case b.origin == b.darkOrigin:
		return b.origin
	}
	return b.origin + " " + b.darkOrigin
}

// accent makes colours fit to be read: the plain one if the tenant's can't be told from the background, and black or white
// on it if what the tenant wants there can't be read.
func accent(color, on, background, plain string) (string, string) {
	c, ok := luminance(color)
	if ground, _ := luminance(background); !ok || contrast(c, ground) < contrastOfControl {
		color = plain
		c, _ = luminance(color)
	}
	if text, ok := luminance(on); !ok || contrast(c, text) < contrastOfText {
		on = "#ffffff"
		if contrast(c, 0) > contrast(c, 1) {
			on = "#000000"
		}
	}
	return color, on
}

func contrast(a, b float64) float64 { return (max(a, b) + 0.05) / (min(a, b) + 0.05) }

var hexColor = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)

// luminance is the relative luminance of #RRGGBB, as WCAG defines it: 0 is black, 1 is white.
func luminance(color string) (float64, bool) {
	if !hexColor.MatchString(color) {
		return 0, false
	}
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.ParseUint(color[1+2*i:3+2*i], 16, 8)
		if err != nil {
			return 0, false
		}
		v := float64(n) / 255
		if v <= 0.04045 {
			v /= 12.92
		} else {
			v = math.Pow((v+0.055)/1.055, 2.4)
		}
		sum += weight * v
	}
	return sum, true
}
