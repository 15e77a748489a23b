//! What small manifests of our own give, each with its line.

use crate::manifest::istio::Istio;
use crate::manifest::kubernetes::Cluster;
use crate::manifest::lint::istio;
use crate::manifest::object::Manifests;

/// Own manifests: what each needs is small, and what is found is told with its line.
const OWN: &[(&str, &str)] = &[
    ("IST0101:5", "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec: {hosts: [a], http: [{route: [{destination: {host: nowhere}}]}]}
"),
    ("IST0132:12", "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g}
spec: {servers: [{port: {number: 80, name: a, protocol: HTTP}, hosts: [b.example]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec:
  hosts: [a.example]
  gateways: [g]
  http: [{directResponse: {status: 200}}]
"),
    ("IST0130:8", "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec:
  hosts: [a]
  http: [{directResponse: {status: 200}},
    {directResponse: {status: 201}}]
"),
    ("IST0118:5", "
apiVersion: v1
kind: Service
metadata: {name: a}
spec: {ports: [{name: web, port: 80}]}
"),
    ("IST0173:12", "
apiVersion: v1
kind: Service
metadata: {name: a}
spec: {selector: {app: a}, ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a}
spec:
  host: a
  subsets: [{name: v1, labels: {version: v1}}]
"),
    ("MSH0101:18", "
apiVersion: v1
kind: Service
metadata: {name: a}
spec: {selector: {app: a}, ports: [{name: http, port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
spec: {replicas: 3, selector: {matchLabels: {app: a}}, template: {metadata: {labels: {app: a}}, spec: {containers: [{name: a, image: a}]}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a}
spec:
  host: a
  trafficPolicy:
    outlierDetection: {consecutive5xxErrors: 5}
"),
    ("MSH0102:8", "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec:
  hosts: [a]
  http:
  - retries: {attempts: 3, perTryTimeout: 2s}
    timeout: 5s
    directResponse: {status: 200}
"),
    ("MSH0103:10", "
apiVersion: v1
kind: Service
metadata: {name: a}
spec: {selector: {app: a}, ports: [{name: http, port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
spec: {replicas: 1, selector: {matchLabels: {app: a}}, template: {metadata: {labels: {app: a}}, spec: {containers: [{name: a, image: a}]}}}
"),
    ("MSH0104:16", "
apiVersion: v1
kind: Service
metadata: {name: istiod, namespace: istio-system}
spec: {selector: {app: istiod}, ports: [{name: https-webhook, port: 443}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: istiod, namespace: istio-system}
spec: {selector: {matchLabels: {app: istiod}}, template: {metadata: {labels: {app: istiod}}, spec: {containers: [{name: a, image: a}]}}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: istio-sidecar-injector}
webhooks:
- name: rev.namespace.sidecar-injector.istio.io
  clientConfig: {service: {name: istiod, namespace: istio-system}}
  rules: [{operations: [CREATE], apiGroups: [''], apiVersions: [v1], resources: [pods]}]
"),
    ("MSH0105:4", "
apiVersion: apps/v1
kind: Deployment
metadata: {name: istiod, namespace: istio-system}
spec: {selector: {matchLabels: {app: istiod}}, template: {metadata: {labels: {app: istiod}}, spec: {containers: [{name: a, image: a}]}}}
"),
    ("IST0113:20", "
apiVersion: v1
kind: Service
metadata: {name: a}
spec: {selector: {app: a}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: a, labels: {app: a}}
spec: {containers: [{name: a, image: a}]}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: a, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a}
spec: {host: a, trafficPolicy: {tls: {mode: DISABLE}}}
"),
];

#[test]
fn own_manifests_give_findings_at_their_lines() {
    for (expected, text) in OWN {
        let mut manifests = Manifests::read([("a.yaml", text.as_bytes())]);
        let cluster = Cluster::of(&mut manifests);
        let read = Istio::of(&mut manifests, &cluster);
        let found = istio(&manifests.objects, &cluster, &read, &manifests.sources);
        let lines: Vec<String> = found
            .iter()
            .map(|finding| format!("{}:{}", finding.code, finding.place.line))
            .collect();
        assert!(lines.iter().any(|line| line == expected), "{expected}: {lines:?}");
        let told = found.iter().find(|finding| expected.starts_with(finding.code)).unwrap();
        assert!(!told.why.is_empty() && !told.fix.is_empty() && !told.name.is_empty());
    }
}
