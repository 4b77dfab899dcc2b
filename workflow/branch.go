package workflow

import (
	"encoding/json"
	"fmt"
)

// Branch goes on with the first branch whose condition is true, else with the default. Afterwards the workflow goes on
// behind the step.
type Branch struct {
	Branches []BranchPath `json:"branches"`
	Default  BranchPath   `json:"default"`
}

// BranchPath is one way through a Branch. The default has no condition.
type BranchPath struct {
	Name       string          `json:"name,omitempty"`
	Condition  string          `json:"condition,omitempty"`
	Conditions json.RawMessage `json:"conditions,omitempty"`
	Steps      []Step          `json:"steps,omitempty"`
	Terminates bool            `json:"terminates,omitempty"` // the workflow ends with this branch
}

// Limits of branches and cohorts.
const (
	MaxBranches    = 10 // with the default
	MaxBranchDepth = 5  // branches and cohorts within each other
)

func (c *compiler) branch(path string, s *Step, depth int) {
	path += ".branch"
	c.noCondition(path, s, "a branch")
	if n := len(s.Branch.Branches); n == 0 || n+1 > MaxBranches {
		c.problemf(path+".branches", "give 1 to %d branches, besides the default", MaxBranches-1)
	}
	if depth >= MaxBranchDepth {
		c.problemf(path, "branches and cohorts nest at most %d deep", MaxBranchDepth)
		return
	}
	var ends []int // jumps behind the step
	for i := range s.Branch.Branches {
		b := &s.Branch.Branches[i]
		at := fmt.Sprintf("%s.branches[%d]", path, i)
		c.step = s.Ref
		name := b.Name
		if name == "" {
			name = fmt.Sprintf("branch %d", i+1)
		}
		cond := c.condition(at, b.Condition, b.Conditions)
		if cond == nil && b.Condition == "" && !given(b.Conditions) {
			c.problemf(at, "a branch needs a condition: only the default has none")
		}
		test := c.emit(Op{Kind: OpBranch, Step: s.Ref, Condition: cond, Name: name})
		ends = append(ends, c.way(at, b.Steps, b.Terminates, depth))
		c.program.Ops[test].To = len(c.program.Ops)
	}
	c.step = s.Ref
	d := &s.Branch.Default
	if d.Condition != "" || given(d.Conditions) {
		c.problemf(path+".default", "the default has no condition: it is taken when no other branch is")
	}
	name := d.Name
	if name == "" {
		name = "default"
	}
	c.emit(Op{Kind: OpBranch, Step: s.Ref, Name: name})
	ends = append(ends, c.way(path+".default", d.Steps, d.Terminates, depth))
	c.land(ends)
}

// way compiles the steps of a branch or cohort, and what comes after them: the end, or a jump whose target land sets.
func (c *compiler) way(path string, steps []Step, terminates bool, depth int) int {
	c.steps(path+".steps", steps, depth+1)
	if terminates {
		return c.emit(Op{Kind: OpEnd, Step: c.step})
	}
	return c.emit(Op{Kind: OpJump, Step: c.step})
}

// land lets jumps go on with the operation that comes next.
func (c *compiler) land(jumps []int) {
	for _, i := range jumps {
		if c.program.Ops[i].Kind == OpJump {
			c.program.Ops[i].To = len(c.program.Ops)
		}
	}
}
