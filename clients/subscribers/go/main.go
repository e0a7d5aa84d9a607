// The state hash at the topics' present end: go run . KAFKA TOPIC...
package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return value
}

func main() {
	topics := os.Args[2:]
	secret := scram.Auth{User: os.Getenv("KAFKA_USER"), Pass: os.Getenv("KAFKA_PASSWORD")}
	options := []kgo.Opt{
		kgo.SeedBrokers(os.Args[1]),
		kgo.SASL(secret.AsSha512Mechanism()),
		kgo.ConsumeTopics(topics...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	}
	if os.Getenv("KAFKA_SECURITY") != "SASL_PLAINTEXT" {
		options = append(options, kgo.DialTLSConfig(&tls.Config{}))
	}
	client := must(kgo.NewClient(options...))
	defer client.Close()
	ctx, admin := context.Background(), kadm.NewClient(client)
	begins, ends := must(admin.ListStartOffsets(ctx, topics...)), must(admin.ListEndOffsets(ctx, topics...))
	must(0, begins.Error())
	left, count := map[string]int64{}, 0
	ends.Each(func(end kadm.ListedOffset) {
		if begin, _ := begins.Lookup(end.Topic, end.Partition); begin.Offset < end.Offset {
			left[fmt.Sprint(end.Topic, end.Partition)] = end.Offset
		}
	})
	if len(left) > 0 {
		must(0, subscribe(ctx, client, func(record *kgo.Record) bool {
			count++
			place := fmt.Sprint(record.Topic, record.Partition)
			if end, ok := left[place]; ok && record.Offset+1 >= end {
				delete(left, place)
			}
			return len(left) > 0
		}))
	}
	lines := []string{}
	for _, each := range state {
		if each.line != "" {
			lines = append(lines, each.line)
		}
	}
	slices.Sort(lines)
	fmt.Printf("%d %x\n", count, sha256.Sum256([]byte(strings.Join(lines, "\n"))))
}
