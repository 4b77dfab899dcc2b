package locale

import (
	_ "embed"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"

	"golang.org/x/text/language"
)

// MaxTagLength is how many bytes of a locale tag are looked at; a longer one is unknown.
const MaxTagLength = 64

// The table is generated from CLDR: see doc.go.
//
//go:generate node cldr.mjs
//go:embed cldr.json
var cldr []byte

// conventions are those of one locale.
type conventions struct {
	tag language.Tag

	Digits   string   `json:"digits"` // ten of them, if they aren't 0 to 9
	Grouping grouping `json:"grouping"`
	Number   layout   `json:"number"`
	Currency layout   `json:"currency"`
	Symbols  map[string]string

	// Patterns by style. Placeholders: {y} {yy} year, {M} {MM} month, {month:S} its name in
	// the list S of Months, {d} {dd} day, {E} weekday, {H} {HH} hour of 24, {h} {hh} of 12,
	// {m} {mm}, {s} {ss}, {a} part of the day, {z} zone.
	Date     [4]string           `json:"date"`
	DateTime [4]string           `json:"datetime"`
	Months   map[string][]string `json:"months"`
	Weekdays []string            `json:"weekdays"` // from Sunday
	Periods  []string            `json:"periods"`  // am and pm, or one for each hour
	Zone     struct {
		Plus      string `json:"plus"` // with {o}, the offset
		Minus     string `json:"minus"`
		Separator string `json:"separator"`
	} `json:"zone"`
}

func (c *conventions) language() string { return baseOf(c.tag) }

// layout is how a number is written; {n} is the number, {c} the currency's symbol.
type layout struct {
	Decimal  string `json:"decimal"`
	Group    string `json:"group"`
	Positive string `json:"positive"`
	Negative string `json:"negative"`
}

// grouping is how many digits are in the last group and in those before it, and how many
// there must be in the first one for groups to be made.
type grouping struct {
	Primary   int `json:"primary"`
	Secondary int `json:"secondary"`
	Minimum   int `json:"minimum"`
}

type table struct {
	currencies map[string]bool
	byName     map[string]*conventions // lower-case, with hyphens
	all        []*conventions          // in the order of the matcher
	matcher    language.Matcher
}

var tables = sync.OnceValue(func() *table {
	var file struct {
		Currencies []string                `json:"currencies"`
		Locales    map[string]*conventions `json:"locales"`
	}
	if err := json.Unmarshal(cldr, &file); err != nil {
		panic("locale: the embedded cldr.json is broken, run go generate: " + err.Error())
	}
	t := &table{currencies: map[string]bool{}, byName: map[string]*conventions{}}
	for _, code := range file.Currencies {
		t.currencies[code] = true
	}
	// The matcher takes the first of those that are equally near: languages come before
	// their regions, and English, for what it can't match, before all.
	names := slices.Sorted(maps.Keys(file.Locales))
	i := slices.Index(names, "en")
	names = append([]string{"en"}, slices.Delete(names, i, i+1)...)
	var tags []language.Tag
	for _, name := range names {
		c := file.Locales[name]
		c.tag = language.MustParse(name)
		t.byName[strings.ToLower(name)] = c
		t.all = append(t.all, c)
		tags = append(tags, c.tag)
	}
	t.matcher = language.NewMatcher(tags)
	return t
})

// find returns the conventions for a tag, and whether they are of its language.
func find(tag string) (*conventions, bool) {
	t := tables()
	english := t.all[0]
	if len(tag) > MaxTagLength {
		return english, false
	}
	if c, ok := t.byName[strings.ToLower(tag)]; ok {
		return c, true
	}
	tag, _, _ = strings.Cut(tag, ".") // de_DE.UTF-8
	parsed, err := language.Parse(tag)
	if err != nil {
		return english, false
	}
	_, i, confidence := t.matcher.Match(parsed)
	c, base := t.all[i], baseOf(parsed)
	// The matcher also knows other languages that many speakers of one understand. Their
	// words in the middle of a text would be worse than English ones.
	if confidence == language.No || base != c.language() && !written[base][c.language()] {
		return english, false
	}
	return c, true
}

// written are languages whose speakers write dates and numbers in another one's words.
var written = map[string]map[string]bool{"no": {"nb": true}, "nn": {"nb": true}, "gsw": {"de": true}}

func baseOf(tag language.Tag) string {
	base, _ := tag.Base()
	return base.String()
}

// Match returns the tag of the locale that the functions of this package use for a tag
// such as "de-CH", "pt_BR" or "zh-TW": the nearest there is. For a malformed tag, and for
// an unknown language, it is "en" and false.
func Match(tag string) (string, bool) {
	c, ok := find(tag)
	return c.tag.String(), ok
}
