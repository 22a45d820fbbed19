//! `provisioning/cloud`, as far as it can be checked without OpenTofu: every expression in it has a value,
//! and what comes out is user data that cloud-init takes and an inventory that jtest reads.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it must be"
)]

use std::fs;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use hcl::eval::{Context, Evaluate, FuncArgs, FuncDef, ParamType};
use hcl::{Block, Body, Map, Template, Value};
use jtest::inventory::{self, HostKeyPolicy, KeyFile, Surroundings};

const NODES: [&str; 5] = ["n1", "n2", "n3", "n4", "n5"];
const OPERATOR_KEY: &str = "ssh-ed25519 AAAAOperator kim@desk: #1";
const LOGIN_KEY: &str =
    "-----BEGIN OPENSSH PRIVATE KEY-----\nLogin\n-----END OPENSSH PRIVATE KEY-----\n";

/// The control node, as far as an inventory asks.
struct ControlNode;

impl Surroundings for ControlNode {
    fn env(&self, _: &str) -> Option<String> {
        None
    }

    fn home(&self) -> Option<PathBuf> {
        Some("/home/jtest".into())
    }

    fn key_file(&self, path: &Path) -> KeyFile {
        if path == Path::new("/home/jtest/.ssh/jtest_cloud") {
            KeyFile::Fine
        } else {
            KeyFile::Missing
        }
    }
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("provisioning/cloud")
}

fn text(args: &FuncArgs, number: usize) -> String {
    args[number].as_str().unwrap().to_owned()
}

// The functions of OpenTofu that the files call.

fn templatefile(args: FuncArgs) -> Result<Value, String> {
    let template = fs::read_to_string(text(&args, 0)).map_err(|error| error.to_string())?;
    let template = Template::from_str(&template).map_err(|error| error.to_string())?;
    let mut context = Context::new();
    context.declare_func("jsonencode", FuncDef::new(jsonencode, [ParamType::Any]));
    for (name, value) in args[1].as_object().unwrap() {
        context.declare_var(name.as_str(), value.clone());
    }
    let text = template.evaluate(&context);
    Ok(Value::from(text.map_err(|error| error.to_string())?))
}

fn jsonencode(args: FuncArgs) -> Result<Value, String> {
    let text = serde_json::to_string(&args[0]).map_err(|error| error.to_string())?;
    Ok(Value::from(text))
}

fn cidrhost(args: FuncArgs) -> Result<Value, String> {
    let network = text(&args, 0);
    let (address, _) = network.split_once('/').ok_or("no prefix")?;
    let address: Ipv4Addr = address.parse().map_err(|_| "no address")?;
    let number = u32::try_from(args[1].as_u64().unwrap()).unwrap();
    Ok(Value::from(
        Ipv4Addr::from(u32::from(address) + number).to_string(),
    ))
}

fn range(args: FuncArgs) -> Result<Value, String> {
    let numbers = args[0].as_u64().unwrap()..args[1].as_u64().unwrap();
    Ok(numbers.map(Value::from).collect())
}

fn trimspace(args: FuncArgs) -> Result<Value, String> {
    Ok(Value::from(text(&args, 0).trim()))
}

fn join(args: FuncArgs) -> Result<Value, String> {
    let parts = args[1].as_array().unwrap().iter();
    let parts: Vec<_> = parts.map(|part| part.as_str().unwrap()).collect();
    Ok(Value::from(parts.join(&text(&args, 0))))
}

fn merge(args: FuncArgs) -> Result<Value, String> {
    let maps = args.iter().map(|map| map.as_object().unwrap().clone());
    Ok(Value::Object(maps.flatten().collect()))
}

fn length(args: FuncArgs) -> Result<Value, String> {
    Ok(Value::from(args[0].as_array().unwrap().len()))
}

/// What the files may call and refer to, before their own locals.
fn surroundings<'a>(variables: &Body) -> Context<'a> {
    let mut context = Context::new();
    let (string, any) = (ParamType::String, ParamType::Any);
    let number = ParamType::Number;
    for (name, function) in [
        (
            "templatefile",
            FuncDef::new(templatefile, [string.clone(), any.clone()]),
        ),
        (
            "cidrhost",
            FuncDef::new(cidrhost, [string.clone(), number.clone()]),
        ),
        ("range", FuncDef::new(range, [number.clone(), number])),
        ("trimspace", FuncDef::new(trimspace, [string.clone()])),
        ("join", FuncDef::new(join, [string, any.clone()])),
        ("merge", FuncDef::new(merge, [any.clone(), any.clone()])),
        ("length", FuncDef::new(length, [any])),
    ] {
        context.declare_func(name, function);
    }
    let module = directory().to_string_lossy().into_owned();
    context.declare_var("path", hcl::value!({ module = module }));
    context.declare_var("var", values_of(variables));
    // What the providers answer.
    let machine = |name: &str| hcl::value!({ public_key_openssh = (format!("ssh-ed25519 AAAA{name}\n")), private_key_openssh = (format!("-----BEGIN {name}\n\"quoted\"\n")) });
    let names = NODES.into_iter().chain(["control"]);
    let hosts: Map<_, _> = names.map(|name| (name.to_owned(), machine(name))).collect();
    let login = hcl::value!({ public_key_openssh = "ssh-ed25519 AAAALogin\n", private_key_openssh = LOGIN_KEY });
    context.declare_var(
        "tls_private_key",
        hcl::value!({ host = (Value::Object(hosts)), login = login }),
    );
    context.declare_var("hcloud_ssh_key", hcl::value!({ operator = { id = "1" } }));
    context.declare_var("hcloud_network", hcl::value!({ lab = { id = "2" } }));
    context.declare_var(
        "hcloud_network_subnet",
        hcl::value!({ lab = { id = "2-10.80.0.0/24" } }),
    );
    context.declare_var(
        "hcloud_firewall",
        hcl::value!({ nodes = { id = "3" }, control = { id = "4" } }),
    );
    context.declare_var(
        "hcloud_placement_group",
        hcl::value!({ nodes = { id = "5" } }),
    );
    context.declare_var(
        "hcloud_server",
        hcl::value!({ control = { ipv4_address = "198.51.100.9" } }),
    );
    context
}

/// The variables: their defaults, and what an operator has to say.
fn values_of(variables: &Body) -> Value {
    let value = |block: &Block| {
        let name = block.labels()[0].as_str().to_owned();
        let default = attribute(block, "default", &Context::new());
        let value = match name.as_str() {
            "operator_key" => Value::from(OPERATOR_KEY),
            "operator_networks" => Value::from(vec!["203.0.113.7/32"]),
            _ => default.unwrap_or_else(|| panic!("{name} has neither a default nor a sample")),
        };
        (name, value)
    };
    Value::Object(variables.blocks().map(value).collect())
}

fn attribute(block: &Block, key: &str, context: &Context<'_>) -> Option<Value> {
    let found = block.body().attributes().find(|found| found.key() == key)?;
    let value = found.expr().evaluate(context);
    Some(value.unwrap_or_else(|error| panic!("{key}: {error}")))
}

fn parse(file: &str) -> Body {
    let text = fs::read_to_string(directory().join(file)).unwrap();
    hcl::parse(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// All of it, with a context in which its expressions have values.
struct Cloud {
    main: Body,
    variables: Body,
    outputs: Body,
    context: Context<'static>,
}

impl Cloud {
    fn read() -> Self {
        let (main, variables, outputs) =
            (parse("main.tf"), parse("variables.tf"), parse("outputs.tf"));
        let mut context = surroundings(&variables);
        let locals = main
            .blocks()
            .find(|block| block.identifier() == "locals")
            .unwrap();
        let mut known = Map::new();
        // In the order of the file, where each uses those before it.
        for local in locals.body().attributes() {
            let value = local.expr().evaluate(&context);
            let value = value.unwrap_or_else(|error| panic!("{}: {error}", local.key()));
            known.insert(local.key().to_owned(), value);
            context.declare_var("local", Value::Object(known.clone()));
        }
        Self {
            main,
            variables,
            outputs,
            context,
        }
    }

    fn resource(&self, kind: &str, name: &str) -> &Block {
        let labels = [kind, name];
        self.main
            .blocks()
            .find(|block| block.labels().iter().map(|label| label.as_str()).eq(labels))
            .unwrap_or_else(|| panic!("there is no {kind} {name}"))
    }

    /// The context of one node of `for_each`.
    fn of_node(&self, node: &str) -> Context<'static> {
        let mut context = self.context.clone();
        let address = format!("10.80.0.1{}", &node[1..]);
        context.declare_var("each", hcl::value!({ key = node, value = address }));
        context
    }

    fn user_data(&self, name: &str, context: &Context<'_>) -> String {
        let server = self.resource("hcloud_server", name);
        let user_data = attribute(server, "user_data", context).unwrap();
        user_data.as_str().unwrap().to_owned()
    }

    fn output(&self, name: &str) -> String {
        let is_named = |block: &&Block| block.labels()[0].as_str() == name;
        let output = self.outputs.blocks().find(is_named).unwrap();
        let value = attribute(output, "value", &self.context).unwrap();
        value.as_str().unwrap().to_owned()
    }
}

/// Evaluates every attribute below a body; what has no value is told by its name.
fn evaluate_all(body: &Body, context: &Context<'_>) -> usize {
    let mut count = 0;
    for attribute in body.attributes() {
        // Types are no expressions of values.
        if attribute.key() != "type" || !format!("{}", attribute.expr()).starts_with("list(") {
            let value = attribute.expr().evaluate(context);
            value.unwrap_or_else(|error| panic!("{}: {error}", attribute.key()));
            count += 1;
        }
    }
    let blocks = body
        .blocks()
        .map(|block| evaluate_all(block.body(), context));
    count + blocks.sum::<usize>()
}

#[test]
fn every_expression_has_a_value() {
    let cloud = Cloud::read();
    let context = cloud.of_node("n1");
    let resources = cloud
        .main
        .blocks()
        .filter(|block| block.identifier() == "resource");
    let evaluated: usize = resources
        .map(|block| evaluate_all(block.body(), &context))
        .sum();
    assert!(evaluated > 30, "{evaluated}");
    assert!(evaluate_all(&cloud.outputs, &context) >= 6);
    for variable in cloud.variables.blocks() {
        for validation in variable.body().blocks() {
            let holds = attribute(validation, "condition", &context);
            assert_eq!(holds, Some(Value::from(true)), "{:?}", variable.labels());
        }
    }
}

#[test]
fn the_inventory_is_one_that_jtest_reads() {
    let text = Cloud::read().output("inventory");
    let file = Path::new("cloud.yaml");
    let (inventory, warnings) = inventory::parse(file, &text, &ControlNode)
        .unwrap_or_else(|mistakes| panic!("{mistakes}\n{text}"));
    assert_eq!(warnings.to_string(), "");
    let names: Vec<_> = inventory
        .nodes
        .iter()
        .map(|node| node.name.0.as_str())
        .collect();
    assert_eq!(names, NODES);
    for (number, node) in (1..).zip(&inventory.nodes) {
        assert_eq!(node.address, format!("10.80.0.{}", 10 + number));
        assert_eq!(node.user.as_deref(), Some("jtest"));
        assert_eq!(node.ssh_args.host_keys, Some(HostKeyPolicy::Strict));
        assert!(node.use_sudo && node.disposable);
        assert_eq!(
            node.private_key_file.as_deref(),
            Some(Path::new("/home/jtest/.ssh/jtest_cloud"))
        );
    }
}

#[test]
fn only_ssh_to_the_control_node_comes_in_from_outside() {
    let cloud = Cloud::read();
    let nodes = cloud.resource("hcloud_firewall", "nodes");
    assert_eq!(nodes.body().blocks().count(), 0);
    let control = cloud.resource("hcloud_firewall", "control");
    let rules: Vec<_> = control.body().blocks().collect();
    let [rule] = rules[..] else {
        panic!("{} rules", rules.len());
    };
    for (key, value) in [("direction", "in"), ("protocol", "tcp"), ("port", "22")] {
        assert_eq!(
            attribute(rule, key, &cloud.context),
            Some(Value::from(value))
        );
    }
    for (server, firewall) in [("node", "3"), ("control", "4")] {
        let server = cloud.resource("hcloud_server", server);
        let firewalls = attribute(server, "firewall_ids", &cloud.context);
        assert_eq!(firewalls, Some(Value::from(vec![firewall])));
    }
    let user_data = cloud.user_data("node", &cloud.of_node("n3"));
    assert!(
        user_data.contains("AllowUsers jtest@10.80.0.2\n"),
        "{user_data}"
    );
}

#[test]
fn the_control_node_gets_what_its_inventory_names() {
    let cloud = Cloud::read();
    let user_data = cloud.user_data("control", &cloud.context);
    let known_hosts: String = (1..=5)
        .map(|n| format!("10.80.0.1{n} ssh-ed25519 AAAAn{n}\n"))
        .collect();
    for (path, content) in [
        ("/home/jtest/.ssh/jtest_cloud", LOGIN_KEY.to_owned()),
        ("/home/jtest/.ssh/jtest_cloud_known_hosts", known_hosts),
        ("/home/jtest/cloud.yaml", cloud.output("inventory")),
    ] {
        assert!(user_data.contains(&format!("path: {path}\n")), "{path}");
        let content = serde_json::to_string(&content).unwrap();
        assert!(
            user_data.contains(&format!("content: {content}\n")),
            "{user_data}"
        );
    }
    assert_eq!(
        cloud.output("known_hosts"),
        "198.51.100.9 ssh-ed25519 AAAAcontrol\n"
    );
}

/// Whether cloud-init takes this user data, with what it says; nothing where it is not installed.
fn schema(user_data: &str) -> Option<(bool, String)> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), user_data).unwrap();
    let checked = Command::new("cloud-init")
        .args(["schema", "--config-file"])
        .arg(file.path())
        .output();
    let checked = match checked {
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        other => other.unwrap(),
    };
    let said = [checked.stdout, checked.stderr].concat();
    Some((
        checked.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    ))
}

#[test]
fn cloud_init_takes_the_user_data() {
    let cloud = Cloud::read();
    let node = cloud.user_data("node", &cloud.of_node("n2"));
    let control = cloud.user_data("control", &cloud.context);
    for user_data in [&node, &control] {
        let Some((is_valid, said)) = schema(user_data) else {
            eprintln!(
                "SKIPPED: cloud-init is not installed, so the user data was not checked; get it with: scripts/install-tools test"
            );
            return;
        };
        assert!(is_valid, "{said}\n{user_data}");
    }
    for (right, wrong) in [
        ("package_update: true", "package_update: [perhaps]"),
        ("write_files:", "write_files: 7\nrest:"),
        ("permissions: ", "permission: "),
    ] {
        let changed = node.replace(right, wrong);
        assert_ne!(changed, node);
        let (is_valid, said) = schema(&changed).unwrap();
        assert!(!is_valid, "{wrong}: {said}");
    }
}
