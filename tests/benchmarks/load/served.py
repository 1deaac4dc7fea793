"""The product's REST application as a module's `app`, for server programs not its own: see reads_servers.py."""

from wapsi.cli.settings import load_settings
from wapsi.garbage import calm_collector
from wapsi.roots.container import make_runtime
from wapsi.roots.http_app import make_front, make_http_app
from wapsi.telemetry.logs import configure_logs
from wapsi.telemetry.settings import get_telemetry_settings
from wapsi.telemetry.setup import Telemetry

_settings = load_settings()
configure_logs(_settings)
_telemetry = Telemetry("serve", get_telemetry_settings())
_telemetry.install()
_runtime = make_runtime(_settings, _telemetry, role="serve")
app = make_front(make_http_app(_runtime, _telemetry), _runtime)
calm_collector(serving=True)
