package postgres

// What package postgres_test looks at from the inside; it cannot be in package
// postgres because pgtest imports that.
var (
	MigrateFiles = migrate
	PendingFiles = pending
	MajorIn      = majorIn
)

// Process is the server's process id.
func (p *Private) Process() int { return p.server.cmd.Process.Pid }
