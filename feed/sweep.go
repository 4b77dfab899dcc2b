package feed

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"
)

// Sweep compares the feeds that somebody listens to with the database, and wakes those followers that were told less
// than there is: their bell was lost between a commit and its publication.
func (s *Service) Sweep(ctx context.Context) error {
	s.mu.Lock()
	followers := make([]*follower, 0, len(s.followers))
	for l := range s.followers {
		followers = append(followers, l)
	}
	s.mu.Unlock()
	for chunk := range slices.Chunk(followers, 1000) {
		if err := s.sweep(ctx, chunk); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) sweep(ctx context.Context, followers []*follower) error {
	recipients, channels, envs := make([]int64, len(followers)), make([]string, len(followers)), make([]int64, len(followers))
	for i, l := range followers {
		id, err := s.UserID(ctx, l.ref.Environment, l.ref.User)
		if err != nil {
			return err
		}
		recipients[i], channels[i], envs[i] = int64(id), l.ref.Channel, int64(l.ref.Environment)
	}
	rows, err := s.Pool.Query(ctx, selectVersions, recipients, channels, envs)
	if err != nil {
		return err
	}
	var n, epoch, version int64
	_, err = pgx.ForEachRow(rows, []any{&n, &epoch, &version}, func() error {
		if l := followers[n-1]; l.epoch.Load() != epoch || l.version.Load() < version {
			l.line.Nudge()
		}
		return nil
	})
	return err
}
