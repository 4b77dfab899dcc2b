package workflow

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
)

// RandomCohort splits recipients by chance, always in the same way: who was in a cohort is in it the next time.
type RandomCohort struct {
	Key     string   `json:"key,omitempty"` // a path or a template; default recipient.id
	Cohorts []Cohort `json:"cohorts"`
}

// Cohort is a share of the recipients.
type Cohort struct {
	Name       string  `json:"name,omitempty"`
	Percentage float64 `json:"percentage"` // with one decimal at most; all add up to 100
	Steps      []Step  `json:"steps,omitempty"`
	Terminates bool    `json:"terminates,omitempty"`
}

// Limits of a random cohort.
const (
	MinCohorts = 2
	MaxCohorts = 10
)

// CohortSpec is a compiled RandomCohort.
type CohortSpec struct {
	Key     *Key
	step    string
	choices []choice
}

type choice struct {
	name string
	upTo int // of 1000
	to   int // operation
}

// Choose returns the cohort of a key, and the operation to go on with. The step takes part in the decision, so that two
// cohort steps are independent of each other.
func (c *CohortSpec) Choose(key string) (name string, to int) {
	sum := sha256.Sum256([]byte(c.step + "\x00" + key))
	n := int(binary.BigEndian.Uint64(sum[:8]) % 1000)
	for _, choice := range c.choices {
		if n < choice.upTo {
			return choice.name, choice.to
		}
	}
	last := c.choices[len(c.choices)-1]
	return last.name, last.to
}

func (c *compiler) cohort(path string, s *Step, depth int) {
	r, path := s.RandomCohort, path+".randomCohort"
	source := r.Key
	if source == "" {
		source = "recipient.id"
	}
	spec := &CohortSpec{Key: c.key(path+".key", source), step: s.Ref}
	if len(r.Cohorts) < MinCohorts || len(r.Cohorts) > MaxCohorts {
		c.problemf(path+".cohorts", "give %d to %d cohorts", MinCohorts, MaxCohorts)
	}
	if depth >= MaxBranchDepth {
		c.problemf(path, "branches and cohorts nest at most %d deep", MaxBranchDepth)
		return
	}
	c.emit(Op{Kind: OpCohort, Step: s.Ref, Cohort: spec})
	var ends []int
	total := 0
	for i := range r.Cohorts {
		cohort := &r.Cohorts[i]
		at := fmt.Sprintf("%s.cohorts[%d]", path, i)
		c.step = s.Ref
		tenths := cohort.Percentage * 10
		if math.IsNaN(tenths) || tenths < 0 || tenths > 1000 || math.Abs(tenths-math.Round(tenths)) > 1e-6 {
			c.problemf(at+".percentage", "must be between 0 and 100, with one decimal at most")
			tenths = 0
		}
		total += int(math.Round(tenths))
		name := cohort.Name
		if name == "" {
			name = fmt.Sprintf("cohort %d", i+1)
		}
		spec.choices = append(spec.choices, choice{name, total, len(c.program.Ops)})
		ends = append(ends, c.way(at, cohort.Steps, cohort.Terminates, depth))
	}
	c.step = s.Ref
	if total != 1000 {
		c.problemf(path+".cohorts", "the percentages must add up to 100, not %g", float64(total)/10)
	}
	c.land(ends)
}
