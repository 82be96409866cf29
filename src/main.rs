//! Arguments in, exit code out.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use lanlord::app::{self, AppError, Options};
use lanlord::cli::{self, Cli, Command, Exit, Failure};
use lanlord::clock::{self, Clock as _};
use lanlord::config;
use tracing_subscriber::EnvFilter;

/// What one thread allocates another one frees, for each exchange twenty times: the C library's allocator took
/// a fifth of the CPU for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let socket = cli.connection.socket.clone();
    let done = match cli.command {
        Command::Serve(arguments) => serve(arguments, socket),
        Command::Import(arguments) => import(&arguments, &cli.connection),
        _ => cli::run(cli),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            failure.exit.into()
        }
    }
}

/// AP-303: 0 an orderly end, 1 failed, 2 configuration, 7 state.
fn serve(arguments: cli::Serve, socket: Option<PathBuf>) -> Result<(), Failure> {
    let failed = |error: AppError| {
        let exit = match &error {
            AppError::Config(_) => Exit::Usage,
            AppError::State(_) => Exit::State,
            AppError::Failed(_) => Exit::Failed,
        };
        Failure::new(exit, error.to_string())
    };
    let config = config::load(&arguments.config).map_err(|problems| failed(problems.into()))?;
    log(&config.log.level)?;
    let options = Options { config: arguments.config, state: arguments.state, socket };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::new(Exit::Failed, format!("no runtime: {e}")))?;
    let ended = runtime.block_on(app::serve(options, config));
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    ended.map_err(failed)
}

/// AP-302: 0 nothing refused, 1 something refused, 2 unreadable; 7 if the state folder cannot be used.
fn import(arguments: &cli::Import, to: &cli::Connection) -> Result<(), Failure> {
    let now = clock::System.wall();
    let mut imported = arguments.read(now.0.div_euclid(1000))?;
    if let Some(state) = &arguments.state {
        let config = config::load(&arguments.config).map_err(|e| Failure::new(Exit::Usage, e.to_string()))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| Failure::new(Exit::Failed, format!("no runtime: {e}")))?;
        let done = runtime.block_on(app::import::into_state(state, &config, &mut imported, now));
        done.map_err(|error| {
            let exit = if matches!(error, AppError::State(_)) { Exit::State } else { Exit::Failed };
            Failure::new(exit, error.to_string())
        })?;
    }
    arguments.apply(&mut imported, to)?;
    arguments.tell(&imported, to.json)
}

/// Standard error; `RUST_LOG` is before the configuration. The service manager adds the time.
fn log(level: &str) -> Result<(), Failure> {
    let wanted = std::env::var("RUST_LOG").unwrap_or_else(|_| level.to_owned());
    let filter = EnvFilter::try_new(&wanted);
    let filter = filter.map_err(|e| Failure::new(Exit::Usage, format!("log level `{wanted}`: {e}")))?;
    let terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(terminal);
    match std::env::var_os("JOURNAL_STREAM") {
        Some(_) => {
            let builder = builder.without_time().with_filter_reloading();
            let handle = builder.reload_handle();
            builder.init();
            follow_level(move |filter| handle.reload(filter).map_err(|e| e.to_string()));
        }
        None => {
            let builder = builder.with_filter_reloading();
            let handle = builder.reload_handle();
            builder.init();
            follow_level(move |filter| handle.reload(filter).map_err(|e| e.to_string()));
        }
    }
    Ok(())
}

/// A reload of the configuration sets `log.level` anew, unless the environment has the last word.
fn follow_level(set: impl Fn(EnvFilter) -> Result<(), String> + Send + Sync + 'static) {
    if std::env::var_os("RUST_LOG").is_none() {
        app::on_relevel(Box::new(move |level| {
            let filter = EnvFilter::try_new(level);
            set(filter.map_err(|e| format!("log.level `{level}`: {e}; the log stays as it was"))?)
        }));
    }
}
