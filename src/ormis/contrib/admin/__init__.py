"""An admin: pages for the objects of models, in a browser.

    admin = Admin([Question, Choice], secret_key=os.environ["SECRET_KEY"])
    admin.mount_to(app)

It is built on starlette-admin, whose options, themes and login pages it has: https://jowilf.github.io/starlette-admin.
`ormis admin --models polls.models` serves it on this machine alone.
"""

try:
    import starlette_admin as starlette_admin
except ModuleNotFoundError as error:
    raise ImportError('ormis.contrib.admin needs starlette-admin: pip install "ormis[admin]"') from error

from .admin import Admin
from .views import ModelView

__all__ = ["Admin", "ModelView"]
