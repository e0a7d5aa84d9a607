// Says where workloads break the Pod Security Standard "restricted", by the rules that Kubernetes itself admits pods
// with. Standard input: a JSON list of Deployments, StatefulSets, DaemonSets or Jobs. A line for each fault.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

type workload struct {
	Kind     string
	Metadata metav1.ObjectMeta
	Spec     struct{ Template corev1.PodTemplateSpec }
}

func main() {
	var workloads []workload
	if err := json.NewDecoder(os.Stdin).Decode(&workloads); err != nil {
		fmt.Fprintln(os.Stderr, "pod-security:", err)
		os.Exit(2)
	}
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, "pod-security:", err)
		os.Exit(2)
	}
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	for _, each := range workloads {
		template := each.Spec.Template
		for _, result := range evaluator.EvaluatePod(restricted, &template.ObjectMeta, &template.Spec) {
			if !result.Allowed {
				fmt.Printf("%s %s: %s: %s\n", each.Kind, each.Metadata.Name, result.ForbiddenReason, result.ForbiddenDetail)
			}
		}
	}
}
