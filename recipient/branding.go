package recipient

import (
	"cmp"
	"regexp"

	"github.com/belfryhq/belfry"
)

// Branding is how a tenant's messages look: what its properties say under settings.branding, and defaults for the rest.
type Branding struct {
	LogoURL, IconURL, DarkLogoURL, DarkIconURL                                     string // empty: none
	PrimaryColor, PrimaryColorContrast, DarkPrimaryColor, DarkPrimaryColorContrast string // #RRGGBB
}

// brandingURLs and brandingColors are the keys of settings.branding.
var (
	brandingURLs   = []string{"logo_url", "icon_url", "dark_logo_url", "dark_icon_url"}
	brandingColors = []string{"primary_color", "primary_color_contrast", "dark_primary_color", "dark_primary_color_contrast"}
)

// BrandingOf is the branding of a tenant with these properties.
func BrandingOf(properties map[string]any) Branding {
	settings, _ := properties["settings"].(map[string]any)
	branding, _ := settings["branding"].(map[string]any)
	text := func(key string) string {
		s, _ := branding[key].(string)
		return s
	}
	return Branding{
		LogoURL: text("logo_url"), DarkLogoURL: cmp.Or(text("dark_logo_url"), text("logo_url")),
		IconURL: text("icon_url"), DarkIconURL: cmp.Or(text("dark_icon_url"), text("icon_url")),
		PrimaryColor:             cmp.Or(text("primary_color"), "#000000"),
		PrimaryColorContrast:     cmp.Or(text("primary_color_contrast"), "#FFFFFF"),
		DarkPrimaryColor:         cmp.Or(text("dark_primary_color"), "#FFFFFF"),
		DarkPrimaryColorContrast: cmp.Or(text("dark_primary_color_contrast"), "#000000"),
	}
}

// Scope is the branding as templates see it, with the keys of settings.branding. What there is none of is nil.
func (b Branding) Scope() map[string]any {
	out := map[string]any{}
	for key, value := range map[string]string{"logo_url": b.LogoURL, "icon_url": b.IconURL, "dark_logo_url": b.DarkLogoURL, "dark_icon_url": b.DarkIconURL,
		"primary_color": b.PrimaryColor, "primary_color_contrast": b.PrimaryColorContrast,
		"dark_primary_color": b.DarkPrimaryColor, "dark_primary_color_contrast": b.DarkPrimaryColorContrast} {
		if out[key] = nil; value != "" {
			out[key] = value
		}
	}
	return out
}

var color = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)

// validateBranding checks the branding in what a caller says about a tenant. Other keys of it are the customer's own.
func validateBranding(properties map[string]any, field string) error {
	given, ok := properties["settings"]
	if !ok || given == nil {
		return nil
	}
	settings, ok := given.(map[string]any)
	if !ok {
		return belfry.Errorf(belfry.Invalid, "settings of a tenant must be an object").At("%s.properties.settings", field)
	}
	field += ".properties.settings.branding"
	if settings["branding"] == nil {
		return nil
	}
	branding, ok := settings["branding"].(map[string]any)
	if !ok {
		return belfry.Errorf(belfry.Invalid, "branding must be an object").At("%s", field)
	}
	for i, key := range append(append([]string{}, brandingURLs...), brandingColors...) {
		at := field + "." + key
		text, ok := branding[key].(string)
		switch {
		case branding[key] == nil || text == "" && ok:
		case !ok:
			return belfry.Errorf(belfry.Invalid, "%s must be text", key).At("%s", at)
		case i < len(brandingURLs):
			if err := checkURL(text, at, "https", "http"); err != nil {
				return err
			}
		case !color.MatchString(text):
			return belfry.Errorf(belfry.Invalid, "%.64q is not a colour such as #1A73E8", text).At("%s", at)
		}
	}
	return nil
}
