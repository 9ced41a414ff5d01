"""Every error Segue raises on purpose: a code, the value that was met, and the remedy.

One class, one mistake. A message is built from the class's ``template`` and ``remedy`` with the keyword
values given at the raise, so the wording lives here and nowhere else; ``docs/errors.md`` is generated from
this room. Warnings are in ``cautions``. Nothing here knows what raises it.
"""

from segue.errors.base import SegueError as SegueError
from segue.errors.base import catalogue as catalogue
from segue.errors.base import nearest as nearest
from segue.errors.data import *
from segue.errors.deploying import *
from segue.errors.files import *
from segue.errors.guarding import *
from segue.errors.learning import *
from segue.errors.measuring import *
from segue.errors.mining import *
from segue.errors.models import *
from segue.errors.serving import *
from segue.errors.showing import *
from segue.errors.storing import *
from segue.errors.watching import *
