package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// nodeFiles are the server for Node.
//
//go:embed peers/node/server.mjs peers/node/package.json peers/node/package-lock.json peers/node/.npmrc
var nodeFiles embed.FS

// nodePeer is that server, installed in a temporary folder.
type nodePeer struct{ folder string }

// installNode gets what the server needs, by its lockfile.
func installNode(ctx context.Context) (_ *nodePeer, err error) {
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			return nil, fmt.Errorf("the peer node needs %s: install it, or leave the peer out with -peers", program)
		}
	}
	p := &nodePeer{}
	if p.folder, err = os.MkdirTemp("", "belfry-bench-node-*"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.remove())
		}
	}()
	const source = "peers/node"
	entries, err := nodeFiles.ReadDir(source)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		b, err := nodeFiles.ReadFile(source + "/" + e.Name())
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(p.folder, e.Name()), b, 0o600); err != nil {
			return nil, err
		}
	}
	command := exec.CommandContext(ctx, "npm", "ci")
	command.Dir = p.folder
	if out, err := command.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	return p, nil
}

func (p *nodePeer) remove() error { return os.RemoveAll(p.folder) }

func (p *nodePeer) command(config string) *exec.Cmd {
	command := exec.Command("node", "--expose-gc", filepath.Join(p.folder, "server.mjs"), config)
	command.Env = append(os.Environ(), "NODE_ENV=production")
	return command
}
