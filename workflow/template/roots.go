package template

import (
	"maps"
	"slices"
)

// varsRoot is the root of which it is noted which keys are named.
const varsRoot = "vars"

// mention notes a variable that an expression names, unless the template itself has set it before. key is the first key that it
// looks at; empty: all of them, or one that is only known when rendering.
func (p *parser) mention(name, key string) {
	if p.isolated {
		return // partials of render see no scope
	}
	for _, set := range p.bound {
		if set[name] {
			return
		}
	}
	p.unit.roots[name] = true
	if name == varsRoot {
		p.unit.vars[key] = true
	}
}

// bind notes a variable that is set from here to the end of the block.
func (p *parser) bind(name string) { p.bound[len(p.bound)-1][name] = true }

// scopeRoots are the names of the scope a template can look at.
func (u *unit) scopeRoots() []string {
	if u.anyRoot {
		maps.Copy(u.roots, knownRoots)
		u.vars[""] = true
	}
	for name := range u.roots {
		if !knownRoots[name] {
			u.roots["data"] = true // it may be a key of it
			break
		}
	}
	return slices.Sorted(maps.Keys(u.roots))
}
