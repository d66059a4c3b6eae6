//! `answers: {gateway: gateway-01}` with `columns` and `become`: a table of answers, one request path per field, as
//! [`super::request`] proves a single one.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::json;

use super::request::{Content, Request, Wanted, Way, gives_reasons};
use super::target::{self, STATUS, Target};
use crate::context::{Context, Trouble};
use crate::word::{Definition, Reference, Scope, Staying, Word};
use meshproof_model::event::{AnswerGroup, Observed, Testimony};
use meshproof_model::scenario::node::{Fields, Node, Problem};
use meshproof_model::schema::{Field, Type};

/// The word.
pub const WORD: Definition = Definition::claim("answers", Staying::Requests, parse).with_witnesses().says(Reference {
    summary: "A table of answers: each at its own path, `/<row>/<column>`, proved like a single `request`.",
    subject: Type::Map(&target::FIELDS),
    fields: &[
        Field::needed("columns", Type::List(&Type::Text), "The last part of the paths."),
        Field::needed("become", Type::Names(&Type::List(&CELL)), "By workload, the first part of the paths: one answer for each column."),
    ],
    examples: &[
        "answers: {gateway: gateway-01}\ncolumns: [unnamed, http]\nbecome:\n  strict: [200, 200]\n  disable: [503 upstream_reset, 503]\nwithin: drain\nwitness: never-clear-text",
    ],
});

/// One answer; 200 comes from the workload of the row's name.
const CELL: Type = Type::Any(&[
    STATUS,
    Type::Form("^[1-5][0-9][0-9]( .+)?$", "a status and the gateway's reason: `503 upstream_reset`"),
]);

#[derive(Debug)]
struct Answers {
    gateway: String,
    columns: Vec<String>,
    rows: Vec<Row>,
}

/// A workload, and what is wanted of it in each column.
#[derive(Debug)]
struct Row {
    name: String,
    cells: Vec<Request>,
}

fn parse(subject: &Node, fields: &mut Fields<'_>, scope: &Scope<'_>) -> Result<Box<dyn Word>, Problem> {
    let columns: Vec<String> = fields
        .need("columns")?
        .list()?
        .iter()
        .map(|node| node.text().map(str::to_owned))
        .collect::<Result<_, _>>()?;
    let mut rows = Vec::new();
    for (name, wanted) in fields.need("become")?.entries()? {
        let cells = wanted.list()?;
        if cells.len() != columns.len() {
            let problem = wanted.problem(format!("{} answers for {} columns", cells.len(), columns.len()));
            return Err(problem.help("one answer for each of `columns`, such as 200 or `503 upstream_reset`"));
        }
        let cell = |(column, node): (&String, &Node)| cell(subject, scope, name, column, node);
        rows.push(Row {
            name: name.to_owned(),
            cells: columns.iter().zip(cells).map(cell).collect::<Result<_, _>>()?,
        });
    }
    let mut target = subject.fields()?;
    let gateway = Target::parse(&mut target, scope)?.gateway.name;
    target.finish()?;
    if rows.is_empty() || columns.is_empty() {
        return Err(subject.problem("a table without answers"));
    }
    Ok(Box::new(Answers { gateway, columns, rows }))
}

/// The answer wanted at `/<row>/<column>`: a status and, if it matters, the gateway's reason. 200 comes from the workload of the
/// row's name.
fn cell(
    subject: &Node,
    scope: &Scope<'_>,
    row: &str,
    column: &str,
    wanted: &Node,
) -> Result<Request, Problem> {
    let number = |_| wanted.number::<u16>().map(|status| status.to_string());
    let text = wanted.text().map(str::to_owned).or_else(number)?;
    let (status, reason) = text.split_once(' ').map_or((text.as_str(), None), |(s, r)| (s, Some(r)));
    let Some(status) = status.parse().ok().filter(|status| (100..600).contains(status)) else {
        return Err(wanted
            .problem(format!("`{text}` is no answer"))
            .help("write 200, or `503 upstream_reset`"));
    };
    let mut target = Target::parse(&mut subject.fields()?, scope)?;
    target.path = format!("/{row}/{column}");
    let wanted = Wanted {
        status: Some(status),
        failure: None,
        backend: (status == 200).then(|| row.to_owned()),
        backend_namespace: None,
        reason: reason.map(str::to_owned),
    };
    Ok(Request {
        target,
        wanted,
        about: Some(row.to_owned()),
        may_waver: false,
        never: None,
        manners: Vec::new(),
        way: Way::default(),
        content: Content::default(),
        gives_reasons: gives_reasons(scope),
    })
}

impl Answers {
    async fn prove(&self, context: &mut Context<'_>) -> Result<Observed, Trouble> {
        let mut seen: Vec<(&str, Vec<String>)> = Vec::new();
        let mut heard: Vec<(&str, Vec<Testimony>)> = Vec::new();
        let mut count = 0;
        for row in &self.rows {
            seen.push((&row.name, Vec::new()));
            for cell in &row.cells {
                let proved = match cell.prove(context).await {
                    Ok(proved) => proved,
                    Err(mut trouble) => {
                        // Which field of the table, and the ones that were as wanted.
                        trouble.failure.expected =
                            format!("{}: {}", cell.target.path, trouble.failure.expected);
                        trouble.observed.detail = json!({"table": self.table(&seen)});
                        return Err(trouble);
                    }
                };
                if let Some((_, cells)) = seen.last_mut() {
                    cells.push(in_words(&proved.settled));
                }
                heard.push((&cell.target.path, proved.witnesses));
                count += 1;
            }
        }
        let accounts: Vec<_> = heard
            .iter()
            .flat_map(|(path, heard)| heard.iter().map(move |t| json!({"path": path, "says": t.summary})))
            .collect();
        let witnesses = context.witnesses.iter().map(|name| Testimony {
            witness: name.clone(),
            held: true,
            summary: format!("heard about each of the {count} answers"),
            detail: accounts.clone().into(),
        });
        Ok(Observed {
            summary: format!("{count} answers as wanted"),
            detail: json!({"table": self.table(&seen)}),
            witnesses: witnesses.collect(),
            ..Observed::default()
        })
    }

    /// What was answered, line by line, in columns as wide as their widest field, wanted or seen.
    fn table(&self, seen: &[(&str, Vec<String>)]) -> Vec<String> {
        let first = self.rows.iter().map(|row| row.name.len()).max().unwrap_or_default();
        let width = |at: usize, column: &String| {
            let wanted = self.rows.iter().filter_map(|row| Some(row.cells.get(at)?.wanted.in_words().len()));
            let seen = seen.iter().filter_map(|(_, cells)| Some(cells.get(at)?.len()));
            wanted.chain(seen).fold(column.len(), usize::max)
        };
        let widths: Vec<usize> =
            self.columns.iter().enumerate().map(|(at, column)| width(at, column)).collect();
        let line = |name: &str, fields: &[String]| {
            let fields = fields.iter().zip(&widths).map(|(field, &width)| format!("  {field:width$}"));
            format!("{name:first$}{}", fields.collect::<String>()).trim_end().to_owned()
        };
        let head = line("", &self.columns);
        std::iter::once(head).chain(seen.iter().map(|(name, cells)| line(name, cells))).collect()
    }
}

/// What was answered in one field, in the words in which it is wanted: `200 from strict`, `503, reason upstream_reset`. That
/// nothing went wrong is no reason.
fn in_words(groups: &[AnswerGroup]) -> String {
    let words = groups.iter().map(|group| {
        let status = group.status.map(|status| status.to_string()).or_else(|| group.failure.clone());
        let backend = group.backend.iter().map(|backend| format!(" from {backend}"));
        let reason = group.reason.iter().filter(|reason| *reason != "ok");
        let reason = reason.map(|reason| format!(", reason {reason}"));
        status.into_iter().chain(backend).chain(reason).collect::<String>()
    });
    let mut words: Vec<_> = words.collect();
    words.sort();
    words.dedup();
    words.join(" / ")
}

impl Word for Answers {
    fn name(&self) -> String {
        let rows: Vec<_> = self.rows.iter().map(|row| row.name.as_str()).collect();
        format!(
            "http://<{}>/{{{}}}/{{{}}} are answered as in the table",
            self.gateway,
            rows.join(","),
            self.columns.join(",")
        )
    }

    fn run<'a>(&'a self, context: &'a mut Context<'_>) -> BoxFuture<'a, Result<Observed, Trouble>> {
        self.prove(context).boxed()
    }
}
