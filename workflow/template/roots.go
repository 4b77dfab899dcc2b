package template

import (
	"maps"
	"slices"
)

// mention notes a variable that an expression names, unless the template itself has set it before.
func (p *parser) mention(name string) {
	if p.isolated {
		return // partials of render see no scope
	}
	for _, set := range p.bound {
		if set[name] {
			return
		}
	}
	p.unit.roots[name] = true
}

// bind notes a variable that is set from here to the end of the block.
func (p *parser) bind(name string) { p.bound[len(p.bound)-1][name] = true }

// scopeRoots are the names of the scope a template can look at.
func (u *unit) scopeRoots() []string {
	if u.anyRoot {
		maps.Copy(u.roots, knownRoots)
	}
	for name := range u.roots {
		if !knownRoots[name] {
			u.roots["data"] = true // it may be a key of it
			break
		}
	}
	return slices.Sorted(maps.Keys(u.roots))
}
