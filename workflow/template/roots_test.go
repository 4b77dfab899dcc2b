package template

import "testing"

// A variable counts as seen unless it is certain that the template doesn't look at it.
func TestSeesVariable(t *testing.T) {
	t.Parallel()
	partials := Partials{"footer": "{{ vars.url }}", "card": "{{ card.url }}"}
	for source, want := range map[string]bool{
		"no variables":                           false,
		"{{ vars.other }}":                       false,
		"{{ vars.other.url }}":                   false,
		"{{ data.url }}":                         false,
		"{{ url }}":                              false,
		"{{ vars.url }}":                         true,
		"{{ vars['url'] }}":                      true,
		"{{ vars.url.x | upcase }}":              true,
		"{{ 'x' | append: vars.url }}":           true,
		"{% if vars.url %}x{% endif %}":          true,
		"{% assign v = vars %}{{ v.url }}":       true,
		"{{ vars }}":                             true,
		"{{ vars | json }}":                      true,
		"{{ vars[data.name] }}":                  true,
		"{{ vars[0] }}":                          true,
		"{{ [data.name].url }}":                  true,
		"{{ ['vars'].url }}":                     true,
		"{{ ['vars'].other }}":                   false,
		"{% for v in vars %}{{ v }}{% endfor %}": true,
		"{% assign vars = data %}{{ vars.url }}": false, // its own
		"{% include 'footer' %}":                 true,
		"{% render 'footer' %}":                  false, // sees no scope
		"{% render 'card', card: vars %}":        true,
		"{% render 'card', card: vars.other %}":  false,
		"{% include data.name %}":                true,
	} {
		compiled, err := CompileWith(source, Text, partials)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		if got := compiled.SeesVariable("url"); got != want {
			t.Errorf("%s: %v, want %v", source, got, want)
		}
	}
}
